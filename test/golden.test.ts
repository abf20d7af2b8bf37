import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Golden, golden, opCase, unusedGoldens } from './support/golden.ts'

test('tensors come out with shape, dtype and values', () => {
  const { inputs, out, grads, weights } = opCase('cumsum') // a case that the ledger does not ask for
  expect(out.shape).toEqual([4, 7])
  for (let row = 0, i = 0; row < 4; row++) {
    for (let column = 0, sum = 0; column < 7; column++, i++) expect(out.data[i]).toBeCloseTo(sum += inputs.x.data[i], 5)
  }
  expect(grads.x.data[27]).toBe(weights.data[27]) // the last element only reaches its own sum
  const labels = golden('deit_mini').get('labels')
  expect(labels.dtype).toBe('i32')
  expect(labels.shape).toEqual([2])
})

test('a missing golden or tensor is named', () => {
  expect(() => new Golden('nothing')).toThrow(/golden 'nothing' is neither in/)
  expect(() => golden('ops').get('nothing.out')).toThrow("golden 'ops' has no tensor 'nothing.out'")
})

test('the ledger tells what was not used', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ledger-'))
  const before = unusedGoldens(folder)
  expect(before).toContain('ops/linear.out')
  expect(before).toContain('optim/adam_lr1e-2.p0.step3')
  expect(before).not.toContain('ops/linear.in.x')
  expect(before).not.toContain('ops/cumsum.out')
  appendFileSync(join(folder, '1.txt'), 'ops/linear.out\n')
  expect(unusedGoldens(folder)).toHaveLength(before.length - 1)
  rmSync(folder, { recursive: true })
})

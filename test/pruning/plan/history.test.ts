// What was cut from a model in memory, one step after the other, until somebody asks.
import { expect, test } from 'vitest'
import { ViT } from '../../../models/index.ts'
import { withoutDevice } from '../../../src/core/tensor.ts'
import { historyOf, rememberRecord, rememberSlice } from '../../../src/pruning/plan/history.ts'
import type { PruningRecord } from '../../../src/pruning/plan/record.ts'
import { sliceShapes } from '../../../src/pruning/plan/slice.ts'
import { units } from '../../../src/pruning/units/units.ts'

const made = () =>
  withoutDevice(() => new ViT({ image: 16, patch: 8, width: 8, depth: 1, heads: 2, hidden: 12, classes: 4 }))

test('a model that nothing was cut from has none', () => expect(historyOf({})).toEqual([]))

test("a loaded one has its file's", () => {
  const model = {}, record = { steps: [] } as unknown as PruningRecord
  rememberRecord(model, record)
  expect(historyOf(model)).toEqual([record])
})

test('a cut is recorded with what went, after what was known before, and once', () => {
  const model = made(),
    found = withoutDevice(() => units(model, [1, 3, 16, 16])),
    neurons = found.find(({ kind }) => kind === 'neurons')!
  const plan = new Map([[neurons.name, Uint8Array.from({ length: 12 }, (_, i) => Number(i >= 3))]])
  const small = withoutDevice(() => sliceShapes(model, found, plan))
  rememberSlice(small, model, { found, plan, residual: 'closing' })
  const [record, ...more] = historyOf(small)
  expect(more).toEqual([])
  expect(record.steps.map(({ method, rate }) => [method, rate])).toEqual([['slice', 0.25]])
  expect(record.units.find(({ name }) => name === neurons.name)).toMatchObject({
    size: 12,
    kept: [3, 4, 5, 6, 7, 8, 9, 10, 11],
  })
  expect(historyOf(small)).toBe(historyOf(small))
  expect(historyOf(model)).toEqual([])
})

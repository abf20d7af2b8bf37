// What is gone stays in front of everything, and masks of a step are taken away again.
import { expect, test } from 'vitest'
import { goneFirst, scoreUnitsBy } from '../../src/pruning/methods/by-criterion.ts'

test('elements that are gone score below all others', () => {
  const scores = new Map([['a', Float32Array.of(1, -5, 3)], ['b', Float32Array.of(2)]])
  const plan = new Map([['a', Uint8Array.of(0, 1, 1)]])
  const found = goneFirst(scores, plan)
  expect([...found.get('a')!].indexOf(Math.min(...found.get('a')!))).toBe(0)
  expect([...found.get('a')!.subarray(1)]).toEqual([-5, 3])
  expect(found.get('b')).toBe(scores.get('b'))
})

test('a criterion is given batches of at most sixteen, and its progress has a name', async () => {
  const said: unknown[] = [], seen: unknown[] = []
  const criterion = {
    images: true,
    score: (scoring: { batch: number, onProgress?: (images: number) => void }) => {
      seen.push(scoring.batch)
      scoring.onProgress?.(3)
      return Promise.resolve(new Map())
    },
  }
  await scoreUnitsBy(
    criterion as never,
    { name: 'mine', batch: 64, references: { length: 9 }, onProgress: (...all: unknown[]) => said.push(all) } as never,
  )
  expect([seen, said]).toEqual([[16], [['scoring by mine', 3, 9]]])
})

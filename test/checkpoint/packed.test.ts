import { expect, test } from 'vitest'
import { checkSparsity } from '../../src/checkpoint/packed.ts'

const layer = { pattern: 'rows', tile: [1, 8], slots: 2, outputs: [4], inputs: [8], density: 0.5 }

test('a record of packed weights is of the right kind, or said to be none', () => {
  const record = { format: 1, layers: { a: layer }, steps: [] }
  expect(checkSparsity(record)).toBe(record)
  for (
    const odd of [{ tile: [1] }, { slots: -1 }, { density: 2 }, { outputs: [] }, { listed: 'yes' }, { pattern: 3 }]
  ) {
    expect(() => checkSparsity({ ...record, layers: { a: { ...layer, ...odd } } })).toThrow(/the packed weight 'a' is /)
  }
  for (const odd of [null, 7, [], { format: 2 }]) expect(() => checkSparsity(odd)).toThrow(/of format .*, expected 1/)
})

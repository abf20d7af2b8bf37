import { expect, test } from 'vitest'
import { declarationsOf, isDecayed, isMeasured, isStarted } from '../../src/core/traits.ts'

const matrix = { shape: [2, 3] }, vector = { shape: [3] }

test('matrices decay, vectors and learned inputs do not, and a class may say otherwise', () => {
  expect([isDecayed({}, matrix), isDecayed({}, vector)]).toEqual([true, false])
  for (const role of ['positions', 'token', 'bias', 'gain', 'mask'] as const) {
    expect(isDecayed({ role }, matrix)).toBe(false)
  }
  expect([isDecayed({ decayed: false }, matrix), isDecayed({ decayed: true, role: 'mask' }, vector)]).toEqual([
    false,
    true,
  ])
})

test('matrices and learned inputs get start values, masks and biases keep theirs', () => {
  expect(['weight', 'query', 'positions', 'token'].map((role) => isStarted({ role: role as 'weight' }, matrix)))
    .toEqual([true, true, true, true])
  expect([isStarted({ role: 'mask' }, matrix), isStarted({ role: 'bias' }, matrix), isStarted({}, vector)]).toEqual([
    false,
    false,
    false,
  ])
})

test('learned inputs and masks say nothing of how large a unit is', () => {
  expect([
    isMeasured({}, matrix),
    isMeasured({ role: 'positions' }, matrix),
    isMeasured({ role: 'mask' }, matrix),
    isMeasured({}, vector),
  ])
    .toEqual([true, false, false, false])
})

test('a class says what its fields are, over what the class it extends says', () => {
  class Base {
    static readonly leaves = { mean: { trained: false }, kernel: { role: 'weight' } } as const
  }
  class Own extends Base {
    static override readonly leaves = { kernel: { role: 'query' } } as never
  }
  class Silent extends Own {}
  expect(declarationsOf(new Silent())).toEqual({ mean: { trained: false }, kernel: { role: 'query' } })
  expect(declarationsOf(new Base())).toEqual(Base.leaves)
  expect(declarationsOf({})).toEqual({})
  expect(declarationsOf(Object.create(null) as object)).toEqual({})
})

import { expect, test } from 'vitest'
import { WgslError } from '../../../src/cpu/abi.ts'
import { Budget, withinStack } from '../../../src/cpu/compiler/limits.ts'

test('a budget ends, with the name of what became too large', () => {
  const budget = new Budget("'main'")
  budget.spend(4_000_000)
  expect(() => budget.spend(1)).toThrow(WgslError)
  expect(() => budget.spend(1)).toThrow("'main' becomes too large")
})

test('the end of the stack is a mistake of the text, other errors are what they are', () => {
  const deep = (): number => 1 + deep()
  expect(() => withinStack(deep)).toThrow(WgslError)
  expect(withinStack(() => 7)).toBe(7)
  const other = new RangeError('Invalid array length')
  expect(() =>
    withinStack(() => {
      throw other
    })
  ).toThrow(other)
})

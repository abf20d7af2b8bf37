import { expect, test } from 'vitest'
import { packedRows, packedText } from '../../src/commands/packed-table.ts'
import { sparsityRecipe, sparsityStep } from '../../src/commands/train-pattern.ts'
import { patternOf } from '../../src/sparse/registry.ts'

test('what a run became sparse by stands in its recipe and its file', () => {
  const options = { pattern: patternOf('rows'), density: 0.5, regrow: 0.2 }
  expect(sparsityRecipe(options)).toEqual({ pattern: 'rows', density: 0.5, regrow: 0.2 })
  expect(sparsityRecipe(null)).toBeUndefined()
  expect(sparsityStep(options, 0.48, 3)).toMatchObject({
    method: 'cubic-regrow',
    density: 0.48,
    ranking: 'per-unit',
    seed: 3,
  })
})

test('packed weights as text', () => {
  const row = { name: 'a', pattern: 'rows', shape: [4, 8], tile: [1, 8] as const, kept: 16, density: 0.5, bytes: 80 }
  expect(packedText([row])).toBe('1 weights packed as rows: 16 of their entries stored (50.0 %), 80B with index')
  expect(packedRows([row])).toMatch(/^packed weight +pattern.*\na +rows +\[4,8\] +50\.0 %/)
})

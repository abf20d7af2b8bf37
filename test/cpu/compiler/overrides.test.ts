// Values of overrides: given, default, or one by another; by name and by id.
import { expect, test } from 'vitest'
import { analyse } from '../../../src/cpu/compiler/compile.ts'
import { fixOverrides, overrideKey } from '../../../src/cpu/compiler/overrides.ts'
import type { Program } from '../../../src/cpu/compiler/tree.ts'

const text = `override A: u32 = 4;
override B = A * 2u;
@id(7) override C: f32;
override D: bool = false;
@compute @workgroup_size(1) fn main() { _ = B; _ = C; _ = D; }`
const program = () => analyse(text).program as Program
const values = (given: Record<string, number>) =>
  Object.fromEntries([...fixOverrides(program(), given)].map(([decl, { scalar }]) => [decl.name, scalar]))

test('what is given stands over the default, and what depends on it follows', () => {
  expect(values({ 7: 0.5 })).toEqual({ A: 4, B: 8, C: 0.5, D: false })
  expect(values({ A: 3, 7: 1, D: 1 })).toEqual({ A: 3, B: 6, C: 1, D: true })
})

test('an id is the name of one that has it', () => {
  const decls = program().decls.filter((decl) => decl.kind === 'override')
  expect(decls.map((decl) => overrideKey(decl as never))).toEqual(['A', 'B', '7', 'D'])
  expect(() => values({ C: 1 })).toThrow("there is no override 'C' in this shader; it has A, B, 7, D")
})

test('no finite number and none that fits the type are refused', () => {
  expect(() => values({ A: NaN, 7: 1 })).toThrow("override 'A': NaN is not a finite number")
  expect(() => values({ 7: 1e39 })).toThrow("override 'C': 1e+39 does not fit its type")
})

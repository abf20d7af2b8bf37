// Sizes and alignments of WGSL's memory layout (section 14.4), conversions, names.
import { expect, test } from 'vitest'
import { abstractFloat, abstractInt, alignOf, array, atomic, bool, concrete, conversionRank, elementScalar, f16, f32,
  i32, isConstructible, leafCount, mat, roundUp, sizeOf, strideOf, typeName, u32,
  vec } from '../../../src/cpu/compiler/types.ts'
import type { ArrayType, Type } from '../../../src/cpu/compiler/types.ts'

test.each<[Type, number, number]>([
  [f32, 4, 4],
  [f16, 2, 2],
  [vec(2, f32), 8, 8],
  [vec(3, f32), 12, 16],
  [vec(4, f32), 16, 16],
  [vec(3, f16), 6, 8],
  [vec(4, f16), 8, 8],
  [mat(2, 2, f32), 16, 8],
  [mat(3, 3, f32), 48, 16],
  [mat(4, 2, f32), 32, 8],
  [mat(2, 3, f16), 16, 8],
  [atomic(u32), 4, 4],
  [array(f32, 5), 20, 4],
  [array(vec(3, f32), 2), 32, 16],
])('layout %#', (type, size, align) => {
  expect([sizeOf(type), alignOf(type)]).toEqual([size, align])
})

test('elements of arrays lie at multiples of their alignment', () => {
  expect(strideOf(array(vec(3, f32), 2) as ArrayType)).toBe(16)
  expect(strideOf(array(f16, 2) as ArrayType)).toBe(2)
  expect([roundUp(0, 16), roundUp(1, 16), roundUp(16, 16)]).toEqual([0, 16, 16])
})

test('equal types are one object, so that they compare by identity', () => {
  expect(vec(3, f32)).toBe(vec(3, f32))
  expect(array(vec(3, f32), 2)).toBe(array(vec(3, f32), 2))
  expect(array(f32, 2)).not.toBe(array(f32, 3))
  expect(mat(2, 3, f32)).not.toBe(mat(3, 2, f32))
})

test('names are as one writes them', () => {
  expect([vec(3, f32), mat(2, 4, f16), array(vec(2, u32), 7), array(f32, null), atomic(i32), abstractInt].map(typeName))
    .toEqual(['vec3<f32>', 'mat2x4<f16>', 'array<vec2<u32>, 7>', 'array<f32>', 'atomic<i32>', 'abstract-int'])
})

test('abstract numbers convert, concrete ones do not', () => {
  expect(conversionRank(f32, f32)).toBe(0)
  expect(conversionRank(abstractInt, i32)).toBeLessThan(conversionRank(abstractInt, f32))
  expect(conversionRank(abstractFloat, f32)).toBeLessThan(conversionRank(abstractFloat, f16))
  for (const [from, to] of [[i32, u32], [f32, f16], [abstractFloat, i32], [bool, i32]]) {
    expect(conversionRank(from, to)).toBe(Infinity)
  }
  expect([abstractInt, abstractFloat, vec(2, abstractInt)].map(concrete)).toEqual([i32, f32, vec(2, i32)])
})

test('what a type is made of', () => {
  expect([elementScalar(mat(2, 2, f16)), elementScalar(vec(2, bool)), elementScalar(u32)]).toEqual([f16, bool, u32])
  expect([array(f32, 3), vec(2, f32), atomic(u32), array(f32, null)].map(isConstructible)).toEqual([
    true,
    true,
    false,
    false,
  ])
  expect([leafCount(array(mat(2, 2, f32), 3)), leafCount(f32)]).toEqual([6, 1])
})

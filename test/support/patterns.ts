// The patterns that tests go through: every family of the registry, tiles of all strips, and bits of all widths.
import { type Pattern } from '../../src/sparse/pattern.ts'
import { patternFamilies, patternOf } from '../../src/sparse/registry.ts'
import { random } from '../reference/nd.ts'

const names = [
  'unstructured',
  'block:8x8',
  'block:16x16',
  'block:32x32',
  'block:4x8',
  'block:16x6',
  'block:6x10',
  'block:1x4',
  'nm:2:4',
  'nm:1:4',
  'nm:4:8',
  'nm:2:4:8',
  'nm:1:4:32',
  'rows',
  'columns',
  'head-block:8',
  'head-block:8:columns',
  'band:8',
  'strided:8:3',
  'hashed:8:2',
  'hashed:4:3:7',
]

/** All of them. */
export const testedPatterns: readonly Pattern[] = names.map(patternOf)

/** Families of which none is tested; a test says so. */
export const untestedFamilies = (): string[] =>
  patternFamilies.map(({ name }) => name).filter((name) => !names.some((each) => each.split(':')[0] === name))

/** A weight with a mask that the pattern chose for it at a density. */
export function maskedWeight(pattern: Pattern, shape: readonly [number, number], density: number, seed = 5) {
  const weight = Float32Array.from(random(seed, shape).data)
  return { weight, keep: pattern.keep(weight.map(Math.abs), shape, density) }
}

// The patterns that tests go through: every family of the registry, tiles of all strips, and bits of all widths.
import type { Packing } from '../../src/sparse/packing.ts'
import { type Pattern } from '../../src/sparse/pattern.ts'
import { patternFamilies, patternOf } from '../../src/sparse/registry.ts'
import { placeInTile } from '../../src/sparse/tiles.ts'
import { nd, type Nd, random } from '../reference/nd.ts'

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

/** The dense weight of packed values, in doubles, by where the pattern says the tiles stand. */
export function denseOf({ shape, tile, slots }: Packing, positions: Uint32Array, values: Nd): Nd {
  const dense = nd(shape)
  for (let slot = 0; slot < slots; slot++) {
    for (let i = 0; i < tile[0]; i++) {
      for (let j = 0; j < tile[1]; j++) {
        const row = positions[2 * slot] * tile[0] + i, column = positions[2 * slot + 1] * tile[1] + j
        if (row >= shape[0] || column >= shape[1]) continue
        dense.data[row * shape[1] + column] = values.data[slot * tile[0] * tile[1] + placeInTile(tile, i, j)]
      }
    }
  }
  return dense
}

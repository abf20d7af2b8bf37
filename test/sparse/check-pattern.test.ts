import { expect, test } from 'vitest'
import { InputError, KernelError } from '../../src/base/errors.ts'
import { checkPattern } from '../../src/sparse/check-pattern.ts'
import { checkProducts } from '../../src/sparse/check-products.ts'
import { listedIndex, listedPositions, listedWalk } from '../../src/sparse/listed.ts'
import { definePattern, type PatternSpec } from '../../src/sparse/pattern.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import { keepStrongestTiles, positionsOf, packTiles } from '../../src/sparse/tiles.ts'
import { SparseWeight } from '../../src/sparse/weight.ts'
import { describeDevice } from '../support/device.ts'

const tile = [8, 16] as const
const sound: PatternSpec = {
  name: 'mine',
  tile,
  keep: (scores, shape, density) => keepStrongestTiles(scores, shape, density, tile),
}
const listed = { index: listedIndex, positions: listedPositions, walk: listedWalk }
const shapes = { shapes: [[48, 64]], densities: [0.5] } as const

describeDevice('checkPattern', (adapter) => {
  test('finds nothing in ours', async () => {
    const names = adapter === 'cpu' ? ['block:16x16', 'nm:2:4', 'unstructured', 'hashed:8:2', 'rows'] : ['strided:8:3']
    for (const name of names) await checkPattern(patternOf(name), adapter === 'cpu' ? {} : shapes)
    await checkPattern(definePattern(sound))
  })

  test('nothing to try it on', async () => {
    const narrow = definePattern({ ...sound, unfit: () => 'it is too small' })
    await expect(checkPattern(narrow)).rejects.toThrow('fits none of [64,64], [192,192], [200,136] to try it on')
    for (const none of [{ shapes: [] }, { densities: [] }]) {
      await expect(checkPattern(definePattern(sound), none)).rejects.toThrow(InputError)
    }
  })

  const walking = (from: string, to: string): PatternSpec => ({
    ...sound,
    ...listed,
    walk: { ...listedWalk, wgsl: listedWalk.wgsl.replace(from, to) },
  })
  const faults: [string, PatternSpec, string][] = [
    ['keep gives another number', { ...sound, keep: () => new Uint8Array(3) }, 'keep gives 3 entries, expected 3072'],
    ['keep gives a score', { ...sound, keep: () => new Uint8Array(3072).fill(2) }, 'keep gives 2 for entry 0'],
    ['pack drops a block', {
      ...sound,
      pack(weight, keep, shape) {
        const places = positionsOf(keep, shape, tile).slice(2), kept = keep as Uint8Array
        const without = kept.map((one, i) =>
          one && positionsOf(kept, shape, tile)[1] === Math.floor(i % shape[1] / 16) && i < 8 * shape[1] ? 0 : one
        )
        return { ...packTiles(weight, without, shape, tile, places), index: listedIndex(places, shape, tile) }
      },
    }, 'loses an entry that is kept: row 0'],
    ['its tiles are out of order', {
      ...sound,
      pack(weight, keep, shape) {
        const made = definePattern(sound).pack(weight, keep, shape), { tile_column: columns, row_start } = made.index
        return { ...made, index: { row_start, tile_column: columns.toReversed() } }
      },
    }, 'pack, positions or the index of the pattern is wrong'],
    [
      'WGSL goes one slot too far',
      walking('row_start[row + 1u]', 'row_start[row + 1u] + 1u'),
      'its WGSL says that row 0',
    ],
    [
      'WGSL finds another column',
      walking('return tile_column[slot]', 'return tile_column[slot] ^ 1u'),
      'stands in column',
    ],
    ['values in rows of the tile', {
      ...sound,
      unpack: (packed) => {
        const own = definePattern(sound),
          places = own.positions(packed),
          weight = new Float32Array(packed.shape[0] * packed.shape[1])
        packed.values.forEach((value, i) => {
          const slot = Math.floor(i / 128), row = places[2 * slot] * 8 + Math.floor(i % 128 / 16)
          weight[row * packed.shape[1] + places[2 * slot + 1] * 16 + i % 16] = value
        })
        return weight
      },
      pack(weight, keep, shape) {
        const own = definePattern(sound), packed = own.pack(weight, keep, shape), values = packed.values.slice()
        for (let i = 0; i < values.length; i++) {
          const at = i % 128
          values[i - at + at % 8 * 16 + Math.floor(at / 8)] = packed.values[i]
        }
        return { ...packed, values }
      },
    }, 'pack must lay values out as Packed says'],
    [
      'a shape that does not fit',
      { ...sound, unfit: () => 'it has 48 outputs, no multiple of 10' },
      'it does not fit: it has',
    ],
  ]
  test.each(faults)('%s', async (_, spec, sentence) => {
    const found = checkPattern(definePattern(spec), shapes)
    await expect(found).rejects.toThrow(sentence)
    await expect(found).rejects.toThrow(InputError)
  })

  test('a product that is not that of the weight it is held against', async () => {
    const pattern = definePattern(sound), shape = [16, 32] as const, weight = new Float32Array(512).fill(1)
    const sparse = SparseWeight.of(pattern, weight, new Uint8Array(512).fill(1), shape)
    const positions = pattern.positions(await sparse.packed())
    const check = (dense: Float32Array) =>
      checkProducts(sparse, positions, dense, (sentence) => {
        throw new InputError(sentence)
      })
    await check(weight)
    await expect(check(weight.map((value, i) => i === 40 ? 2 : value))).rejects.toThrow(
      /our product with its walk gives .* at row \d, column 1, expected/,
    )
  })

  test('WGSL that does not compile', async () => {
    const broken = definePattern(walking('return tile_column[slot]', 'return tile_colum[slot]'))
    await expect(checkPattern(broken, shapes)).rejects.toThrow(KernelError)
  })
})

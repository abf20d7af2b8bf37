import { expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { bytesOf, checkPacked, densityOf } from '../../src/sparse/check-packed.ts'
import { definePattern, type Packed } from '../../src/sparse/pattern.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import { coveredBy, keepStrongestTiles, placeInTile } from '../../src/sparse/tiles.ts'
import { maskedWeight, testedPatterns, untestedFamilies } from '../support/patterns.ts'

const shapes: [number, number][] = [[64, 64], [30, 41], [17, 33]]

test('every family is among the tested patterns', () => {
  expect(untestedFamilies()).toEqual([])
})

for (const pattern of testedPatterns) {
  test.each(shapes)(`${pattern.name}: packs and unpacks [%i, %i] exactly`, (rows, columns) => {
    const shape = [rows, columns] as const
    expect(pattern.unfit(shape)).toBeNull()
    for (const density of [0, 0.01, 0.5, 1]) {
      const { weight, keep } = maskedWeight(pattern, shape, density)
      const packed = pattern.pack(weight, keep, shape), positions = checkPacked(pattern, packed, 'it')
      expect(pattern.unpack(packed)).toEqual(weight.map((value, i) => keep[i] ? value : 0))
      const fixed = pattern.fixedDensity(shape), found = densityOf(packed, positions)
      const share = keep.reduce((sum, one) => sum + one, 0) / keep.length
      expect(found).toBeCloseTo(share, 12)
      // A tile of the pattern is as near as it can come.
      if (fixed === null) expect(Math.abs(share - density)).toBeLessThanOrEqual(0.5)
      else expect(Math.abs(share - fixed)).toBeLessThan(0.1)
      if (density === 1 && fixed === null) expect(share).toBe(1)
      if (density === 0 && fixed === null) expect(packed.slots).toBe(0)
      expect(bytesOf(packed)).toBeGreaterThanOrEqual(packed.values.byteLength)
    }
  })
}

test('a group that keeps fewer than N is filled up, and comes back as it was', () => {
  const pattern = patternOf('nm:2:4'), weight = Float32Array.from({ length: 32 }, (_, i) => i + 1)
  const keep = Uint8Array.from({ length: 32 }, (_, i) => i % 8 === 3 ? 1 : 0)
  const packed = pattern.pack(weight, keep, [2, 16])
  expect(packed.slots).toBe(16)
  expect(pattern.unpack(packed)).toEqual(weight.map((value, i) => keep[i] ? value : 0))
  expect(() => pattern.pack(weight, new Uint8Array(32).fill(1), [2, 16])).toThrow(InputError)
})

test('tiles lie in strips', () => {
  expect(placeInTile([32, 4], 17, 3)).toBe(4 * 16 + 3 * 16 + 1)
  expect(placeInTile([6, 10], 2, 3)).toBe(23)
})

test('the strongest blocks stay, by the sum of their scores', () => {
  const scores = new Float64Array(64).fill(1)
  for (const i of [0, 1, 8, 9, 54, 55, 62, 63]) scores[i] = 2
  const keep = keepStrongestTiles(scores, [8, 8], 0.125, [2, 2])
  expect([...keep.keys()].filter((i) => keep[i])).toEqual([0, 1, 8, 9, 54, 55, 62, 63])
})

test('names with parameters', () => {
  expect(patternOf('block:8x16').tile([64, 64])).toEqual([8, 16])
  expect(patternOf('head-block:64:columns').tile([192, 768])).toEqual([192, 64])
  for (
    const [text, sentence] of [
      ['blok:8x8', 'did you mean block'],
      ['block:8', 'width is missing'],
      ['block:8x8x8', '3 parameters, expected block:<height>x<width>'],
      ['block:0x8', "height is '0', expected a whole number from 1"],
      ['nm:5:4', '5 of every 4 cannot stay'],
      ['nm:2:8:2', '2 bits do not hold'],
      ['head-block:8:up', 'expected rows, columns'],
      ['toString', 'expected block:'],
    ]
  ) {
    expect(() => patternOf(text), text).toThrow(InputError)
    expect(() => patternOf(text), text).toThrow(sentence)
  }
})

test('a pattern of another name, or half a way of finding tiles, is refused', () => {
  const keep = () => new Uint8Array(1)
  const indexed = (...index: string[]) =>
    definePattern({
      name: 'taken',
      keep,
      index: () => ({}),
      positions: () => new Uint32Array(),
      walk: { index, wgsl: '' },
    })
  expect(() => definePattern({ name: '2 bad', keep })).toThrow(InputError)
  expect(() => definePattern({ name: 'half', keep, index: () => ({}) })).toThrow('belong together')
  for (const name of ['values', 'columns', 'turned', 'load_x', 'Mine']) {
    expect(() => indexed(name), name).toThrow('cannot be named')
  }
  expect(() => indexed('a', 'b', 'c')).not.toThrow()
  expect(() => indexed('a', 'b', 'c', 'd')).toThrow('4 index arrays, expected at most 3')
})

test('malformed packs are refused, each with its sentence', () => {
  const pattern = patternOf('block:8x8'), shape = [32, 32] as const
  const { weight, keep } = maskedWeight(pattern, shape, 0.5)
  const sound = pattern.pack(weight, keep, shape)
  expect(sound.slots).toBe(8)
  const other = (change: (packed: { -readonly [K in keyof Packed]: Packed[K] }) => void) => {
    const { row_start, tile_column } = sound.index
    const packed = {
      ...sound,
      values: sound.values.slice(),
      index: { row_start: row_start.slice(), tile_column: tile_column.slice() },
    }
    change(packed)
    return () => checkPacked(pattern, packed, 'net.safetensors: fc')
  }
  // The first row of tiles that has two, and its first slot.
  const { row_start: start } = sound.index,
    row = [0, 1, 2, 3].find((i) => start[i + 1] - start[i] > 1)!,
    at = start[row]
  const cases: [string, (packed: Packed & { slots: number, tile: Packed['tile'], values: Float32Array }) => void][] = [
    ['and column 4 of tiles, expected below 4 and 4', ({ index }) => {
      index.tile_column[at + 1] = 4
    }],
    ['stands before tile', ({ index }) => {
      index.tile_column.subarray(at, at + 2).reverse()
    }],
    ['both stand in row', ({ index }) => {
      index.tile_column[at + 1] = index.tile_column[at]
    }],
    ['expected it to ascend', ({ index }) => {
      index.row_start[2] = 9
    }],
    ['tile_column has 0 entries, expected one for each of 8 tiles', (packed) => {
      packed.index = { ...packed.index, tile_column: new Uint32Array() }
    }],
    ['expected 5 from 0 to the 8 tiles', ({ index }) => {
      index.row_start[4] = 7
    }],
    ['its tiles are 8x16, expected 8x8', (packed) => {
      packed.tile = [8, 16]
    }],
    ['it has 511 values, expected 512', (packed) => {
      packed.values = packed.values.subarray(1)
    }],
    ['value 7 is NaN', ({ values }) => {
      values[7] = NaN
    }],
    ['value 9 is Infinity', ({ values }) => {
      values[9] = Infinity
    }],
    ['it stores 17 tiles, expected at most the 16', (packed) => {
      packed.slots = 17
    }],
    ['its index is missing', (packed) => {
      packed.index = {}
    }],
  ]
  for (const [sentence, change] of cases) {
    expect(other(change), sentence).toThrow(InputError)
    expect(other(change), sentence).toThrow(sentence)
    expect(other(change), sentence).toThrow(/^net.safetensors: fc: .*; the file is damaged/)
  }
  expect(other(() => undefined)).not.toThrow()
  const nm = patternOf('nm:2:4'), packed = nm.pack(...argsOf(nm))
  const bad = { ...packed, index: { place: packed.index.place.slice() } }
  bad.index.place[0] = 0 // both of a group in one place
  expect(() => checkPacked(nm, bad, 'it')).toThrow('both stand in row 0')
  expect(() => checkPacked(nm, { ...packed, slots: 3, values: packed.values.subarray(0, 3) }, 'it')).toThrow(InputError)
  // What is missing would read as places 0, which are in order.
  const single = patternOf('nm:1:4'), whole = single.pack(...argsOf(single))
  const short = { ...whole, index: { place: whole.index.place.subarray(0, -1) } }
  expect(() => checkPacked(single, short, 'it')).toThrow('place has 3 words, expected 4 for 64 entries of 2 bits')
})

function argsOf(pattern: ReturnType<typeof patternOf>) {
  const { weight, keep } = maskedWeight(pattern, [16, 16], 1)
  return [weight, keep, [16, 16] as const] as const
}

test('covered entries are those of stored tiles', () => {
  const covered = coveredBy({ shape: [3, 5], tile: [2, 2] }, Uint32Array.from([1, 2]))
  expect([...covered.keys()].filter((i) => covered[i])).toEqual([14])
})

test('groups that no word has are refused', () => {
  const base = patternOf('nm:2:4'), { keep, positions, walk } = base
  const groups = walk.groups!, index = () => ({ place: new Uint32Array(1) })
  for (const odd of [{ size: 6 }, { kept: 3 }, { bits: 1 }, { bits: 3 }, { kept: 8 }, { kept: 0 }, { wgsl: '' }]) {
    const wrong = { ...walk, groups: { ...groups, ...odd } }
    expect(() => definePattern({ name: 'mine', keep, index, positions, walk: wrong })).toThrow(
      /walk\.groups keeps .*; expected/,
    )
  }
  expect(definePattern({ name: 'mine', keep, index, positions, walk }).walk.groups).toBe(groups)
})

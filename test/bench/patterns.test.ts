// `bench patterns`: cases are right in all ops, what a pattern does wrong is named, break-even rows come of the times.
import { describe, expect, test } from 'vitest'
import { measure } from '../../bench/harness.ts'
import { layerData, sparseCase, sparseOps } from '../../bench/kernels/sparse.ts'
import { breakEvenRows, patternCases } from '../../bench/patterns.ts'
import { InputError } from '../../src/base/errors.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { gpu } from '../../src/gpu/device.ts'
import { definePattern, type Pattern } from '../../src/sparse/pattern.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import { describeDevice } from '../support/device.ts'
import { rowWith } from './rows.ts'

const timing = { rounds: 2, msPerRound: 1 }
const layer = { name: 'small', rows: 9, inner: 40, outer: 36 } // divides no tile

describeDevice('sparse cases', () => {
  test.each(sparseOps)('%s of dense, sliced, blocks, N:M and single entries equals doubles', async (op) => {
    const data = layerData(layer)
    const patterns = ['block:16x16', 'nm:2:4', 'unstructured'].map(patternOf)
    const rows = await measure(sparseCase(data, op, 0.5, patterns), timing)
    disposeTree(data.tensors)
    expect(rows.map(({ impl }) => impl)).toEqual(['dense', 'sliced', 'block:16x16', 'nm:2:4', 'unstructured'])
    for (const row of rows) {
      expect(row.maxRelError).toBeLessThanOrEqual(1e-5)
      expect(row.density).toBe(0.5)
    }
    expect(rows[4].speedUps?.map(({ over }) => over)).toEqual(['dense', 'sliced'])
    expect(rows[4].gflopsDense! / rows[4].gflops!).toBeCloseTo(2, 10) // a half of the entries stays
    expect(rows[1].note).toBe('20 of 36 outputs')
  })

  test.each(sparseOps)('%s of a weight times a mask equals doubles and leaves nothing', async (op) => {
    const before = gpu().pool.memory.live, data = layerData(layer)
    const [, , masked] = await measure(sparseCase(data, op, 0.5, [], [16, 16]), timing)
    disposeTree(data.tensors)
    expect(masked).toMatchObject({ impl: 'masked 16x16', density: 0.5 })
    expect(masked.maxRelError).toBeLessThanOrEqual(1e-5)
    expect(masked.note).toMatch(/^0\.\d+ of the tiles are occupied$/)
    expect(gpu().pool.memory.live).toBe(before)
  })

  test('a suite leaves nothing on the device', async () => {
    const before = gpu().pool.memory.live
    for (const { make } of patternCases({ batches: [1], quick: true, densities: [0.5, 0.25] })) {
      await measure(await make(), { rounds: 1, msPerRound: 1 })
    }
    expect(gpu().pool.memory.live).toBe(before)
  }, 120_000)

  const broken = (change: Partial<Pattern>): Pattern => ({ ...patternOf('block:4x4'), name: 'mine', ...change })
  const block = patternOf('block:4x4')

  test('a pack that drops a block is named with the place', () => {
    const data = layerData(layer)
    const pack: Pattern['pack'] = (weight, keep, shape) => {
      const packed = block.pack(weight, keep, shape)
      return { ...packed, values: packed.values.fill(0, 0, 16) }
    }
    expect(() => sparseCase(data, 'forward', 0.5, [broken({ pack })])).toThrow(
      /pattern 'mine': unpack\(pack\(weight\)\) differs .* in 16 of 1440 entries, first at row \d+, column \d+/,
    )
    disposeTree(data.tensors)
  })

  test('a walk that reads one slot too far is told by its values', async () => {
    const data = layerData(layer)
    const walk = {
      ...block.walk,
      wgsl: block.walk.wgsl.replace(/(fn first\(row: u32\) -> u32 \{ return )([^;]*);/, '$1$2 + 1u;'),
    }
    expect(walk.wgsl).not.toBe(block.walk.wgsl)
    await expect(measure(sparseCase(data, 'forward', 0.5, [broken({ walk })]), timing)).rejects.toThrow(
      /patterns small forward 9x40x36: mine is off by/,
    )
    disposeTree(data.tensors)
  })

  test('a shape that does not fit, and flags that are too few', () => {
    const data = layerData(layer)
    expect(() => sparseCase(data, 'forward', 0.5, [broken({ unfit: () => 'is not square' })])).toThrow(
      "pattern 'mine': a weight of [36,40] is not square",
    )
    expect(() => sparseCase(data, 'forward', 0.5, [broken({ keep: () => new Uint8Array(3) })])).toThrow(
      "pattern 'mine': keep gave 3 flags for a weight of [36,40], expected 1440",
    )
    disposeTree(data.tensors)
  })
})

describe('cases', () => {
  const names = (options: Partial<Parameters<typeof patternCases>[0]>) =>
    patternCases({ batches: [8], ...options }).map(({ name }) => name)

  test('the projection of ViT-Base at every density, three ops; others by name', () => {
    expect(names({})).toHaveLength(3 * 6)
    expect(names({})[0]).toBe('vit-b proj b8 forward at 1')
    expect(names({ only: ['vit-t fc1'], densities: [0.5] })).toEqual(
      sparseOps.map((op) => `vit-t fc1 b8 ${op} at 0.5`),
    )
    expect(names({ only: ['nothing of this name'] })).toEqual([])
  })

  test('a pattern without a choice stands at its own density alone', () => {
    const patterns = [patternOf('nm:1:4')]
    expect(names({ patterns, only: ['vit-t proj'] })).toEqual(sparseOps.map((op) => `vit-t proj b8 ${op} at 0.25`))
  })

  test('patterns that fit no layer are refused', () => {
    const none = definePattern({ name: 'none', keep: () => new Uint8Array(), unfit: () => 'is too wide' })
    expect(() => names({ patterns: [none] })).toThrow(InputError)
    expect(() => names({ patterns: [none] })).toThrow(/none is too wide/)
  })
})

test('break-even rows come of the dense rows of the same case', () => {
  const rows = [1, 0.5, 0.1].flatMap((density) => [
    rowWith([10, 10, 10], { name: 'forward', impl: 'dense', density }),
    rowWith([1, 1, 1], { name: 'forward', impl: 'sliced', density }),
    rowWith([1, 1, 1].map(() => 12 * density), { name: 'forward', impl: 'block', density }),
  ])
  const found = breakEvenRows(rows)
  expect(found).toMatchObject([{ pattern: 'block', op: 'forward', over: 'dense', beyond: null }])
  expect(found[0].value).toBeCloseTo(5 / 6, 10)
})

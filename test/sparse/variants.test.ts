// Every kernel of sparse products compiles within the limits of dawn's null backend, with every pattern's walk.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { entriesKernel, entryValuesKernel, foldKernel, maskedKernels, matrixRows, pixelRows, stripsKernel, tilesKernel,
  tileValuesKernel, turnKernels, unfoldKernel, walkKernel } from '../../src/sparse/kernels.ts'
import { ownKernel } from '../../src/sparse/own-kernel.ts'
import type { EntryGroups } from '../../src/sparse/pattern.ts'
import { patternFamilies, patternOf } from '../../src/sparse/registry.ts'
import { sparseVariants } from '../../src/sparse/variants.ts'
import { describeDawn } from '../support/dawn.ts'
import { testedPatterns } from '../support/patterns.ts'

const epilogue = { BIAS: 1, GELU: 1, RESIDUAL: 1 }
const both = [false, true]

describeDawn('sparse kernels on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null', fixedVariants: true })
  })
  afterAll(close)

  // One of each family: the walks of a family differ in constants.
  const patterns = testedPatterns.filter(({ name }, i) =>
    testedPatterns.findIndex((other) => other.name.split(':')[0] === name.split(':')[0]) === i
  )

  test('patterns of all families', () => {
    expect(patterns).toHaveLength(patternFamilies.length)
  })

  test.each(patterns.map(({ name }) => name))('%s', async (name) => {
    const { walk } = patternOf(name), { launches, failures } = gpu()
    launches.pipeline(walkKernel(walk, name))
    const kinds = [...both.map((whole) => matrixRows(whole, whole)), ...both.map(pixelRows)]
    for (const rows of kinds) {
      for (const vectors of [1, 2, 4] as const) {
        launches.pipeline(tilesKernel(walk, vectors, rows, name), {
          HEIGHT: 16,
          WIDTH: 12,
          X: 8,
          Y: 8,
          STEP: 64,
          COLUMNS: vectors,
          PACKERS: 8,
          ...epilogue,
        })
      }
      const shapes: [number, number, number, EntryGroups?][] = [[1, 1, 1], [6, 10, 1], [16, 1, 16]]
      if (walk.groups) shapes.push([1, 1, 1, walk.groups])
      for (const [HEIGHT, WIDTH, STRIP, groups] of shapes) {
        launches.pipeline(entriesKernel(walk, 8, rows, name, groups), {
          HEIGHT,
          WIDTH,
          STRIP,
          OUTPUTS: 64,
          STEP: 64,
          QUADS: 8,
          ...epilogue,
        })
      }
    }
    await failures.settle()
  })

  test('the ways back, and masked weights', async () => {
    const { launches, failures } = gpu()
    for (const vectors of both) launches.pipeline(stripsKernel(vectors), { STRIP: vectors ? 4 : 1 })
    for (const COLUMNS of [1, 2, 4] as const) {
      launches.pipeline(tileValuesKernel(COLUMNS), { HEIGHT: 16, WIDTH: 8, COLUMNS, QUADS: 2, STEP: 128, ITEMS: 16 })
    }
    for (const STRIP of [1, 4, 16]) launches.pipeline(unfoldKernel, { STRIP })
    launches.pipeline(foldKernel)
    launches.pipeline(entryValuesKernel, { HEIGHT: 6, WIDTH: 10, STRIP: 1 })
    for (const turn of Object.values(turnKernels)) {
      launches.pipeline(turn, { HEIGHT: 16, WIDTH: 8, STRIP: 16, ACROSS: 8 })
    }
    for (const aligned of both) {
      launches.pipeline(maskedKernels.occupancy(aligned), { HEIGHT: 32, WIDTH: 8 })
      for (const TURNED of [0, 1]) {
        launches.pipeline(maskedKernels.pack(aligned), { HEIGHT: 32, WIDTH: 8, STRIP: 16, TURNED })
        launches.pipeline(maskedKernels.occupied, { TURNED })
      }
      launches.pipeline(maskedKernels.spread(aligned), { HEIGHT: 32, WIDTH: 8, STRIP: 16 })
    }
    await failures.settle()
  })

  test('kernels that a pattern brings, scalars and vectors', async () => {
    const { launches, failures } = gpu(), pattern = patternOf('block:4x4')
    const entry = (body: string) => `@compute @workgroup_size(1) fn main() { ${body} }`
    for (const [value, vectors] of [['0.0', []], ['vec4f()', ['out', 'values']]] as const) {
      for (const part of ['forward', 'input'] as const) {
        const own = { wgsl: entry(`put(0u, 0u, ${value} * values[0]);`), vectors, workgroups: () => 1 }
        launches.pipeline(ownKernel(pattern, part, own), part === 'forward' ? epilogue : {})
      }
      const own = {
        wgsl: entry(`put(0u, ${value} * x[0] * dy[0]);`),
        vectors: vectors.slice(0, 1),
        workgroups: () => 1,
      }
      launches.pipeline(ownKernel(pattern, 'values', own))
    }
    await failures.settle()
  })

  test('a row of the table for GPUs, of each loop', () => {
    const loops = sparseVariants.rows.filter(({ adapters }) => adapters === undefined || adapters.includes('gpu'))
    expect(new Set(loops.map(({ loop }) => loop))).toEqual(new Set(['tiles', 'entries', 'groups']))
  })
})

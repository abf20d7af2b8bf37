// Kernels that a pattern brings itself: the one that docs/sparsity.md shows, from a file outside the package, and what
// can be wrong with one.
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { InputError, KernelError } from '../../src/base/errors.ts'
import { namedPattern } from '../../src/commands/pattern.ts'
import { record, unrecorded } from '../../src/core/tape.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { observeLaunches } from '../../src/testing/races.ts'
import { checkPattern } from '../../src/sparse/check-pattern.ts'
import { sparseLinear, sparseLinearAdd, sparseLinearGelu } from '../../src/sparse/linear.ts'
import { listedIndex, listedPositions, listedWalk } from '../../src/sparse/listed.ts'
import { definePattern, type Pattern, type PatternKernel, type PatternSpec } from '../../src/sparse/pattern.ts'
import { keepStrongestTiles, packTiles, positionsOf } from '../../src/sparse/tiles.ts'
import { SparseWeight } from '../../src/sparse/weight.ts'
import { checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { add, gelu } from '../reference/elementwise.ts'
import * as reference from '../reference/matmul.ts'
import { nd, random, relativeError } from '../reference/nd.ts'

const docs = readFileSync(new URL('../../docs/sparsity.md', import.meta.url), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'espalier-own-kernel-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** The pattern of the docs, as a user would have it: a file, loaded by its path (which package it means is vite's). */
function fromDocs(): Promise<Pattern> {
  const text = [...docs.matchAll(/```ts\n([^]*?)```/g)].map(([, block]) => block).find((each) =>
    each.includes('kernels: {')
  )
  const path = join(folder, 'own-blocks.ts')
  const index = new URL('../../src/index.ts', import.meta.url).pathname
  writeFileSync(path, text!.replace("from 'espalier'", `from '${index}'`))
  return namedPattern(path)
}

const tile = [4, 4] as const
const loop = (head: string, body: string) => `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  ${head}
  var sum = 0.0;
  ${body}
}`
const rows = `let m = i / p.N;
  let n = i % p.N;
  if (m >= p.M) { return; }
  for (var slot = row_start[n / 4u]; slot < row_start[n / 4u + 1u]; slot++) {
    let k = tile_column[slot] * 4u;
    for (var c = 0u; c < min(4u, p.K - k); c++) { sum += x[m * p.K + k + c] * values[slot * 16u + c * 4u + n % 4u]; }
  }
  put(m, n, sum);`
const forward: PatternKernel = {
  wgsl: loop('', rows),
  workgroups: ({ M, N }) => Math.ceil(M * N / 64),
}
const input: PatternKernel = {
  wgsl: loop(
    'if (i >= p.M * p.K) { return; }',
    `let m = i / p.K;
  let k = i % p.K;
  for (var row = 0u; row < p.tile_rows; row++) {
    for (var slot = row_start[row]; slot < row_start[row + 1u]; slot++) {
      if (tile_column[slot] != k / 4u) { continue; }
      for (var r = 0u; r < min(4u, p.N - row * 4u); r++) {
        sum += dy[m * p.N + row * 4u + r] * values[slot * 16u + k % 4u * 4u + r];
      }
    }
  }
  put(m, k, sum);`,
  ),
  workgroups: ({ M, K }) => Math.ceil(M * K / 64),
}
const values: PatternKernel = {
  wgsl: loop(
    'if (i >= p.slots * 16u) { return; }',
    `let slot = i / 16u;
  var row = 0u;
  while (row_start[row + 1u] <= slot) { row++; }
  let n = row * 4u + i % 4u;
  let k = tile_column[slot] * 4u + i % 16u / 4u;
  if (n < p.N && k < p.K) {
    for (var m = 0u; m < p.M; m++) { sum += dy[m * p.N + n] * x[m * p.K + k]; }
  }
  put(i, sum);`,
  ),
  workgroups: ({ slots }) => Math.ceil(slots * 16 / 64),
}
const sound: PatternSpec = {
  name: 'mine',
  tile,
  keep: (scores, shape, density) => keepStrongestTiles(scores, shape, density, tile),
  kernels: { forward, input, values },
}
const small = { shapes: [[18, 22]], densities: [0.5] } as const

/** The labels of the kernels that a product and its ways back launch. */
function launched(pattern: Pattern, shape: readonly [number, number]): string[] {
  const weight = new Float32Array(shape[0] * shape[1]).fill(1)
  const sparse = SparseWeight.of(pattern, weight, new Uint8Array(weight.length).fill(1), shape)
  const x = toTensor(random(1, [3, shape[1]])), dy = toTensor(random(2, [3, shape[0]]))
  const labels = observeLaunches(() => {
    const { calls } = record(() => sparseLinear(x, sparse, null), [x, sparse.values])
    unrecorded(() => calls[0].op.vjp(calls[0], dy))
  }).map(({ kernel }) => kernel.label)
  disposeTree([sparse, x, dy])
  return labels
}

describeDevice('a kernel of a pattern itself', (adapter) => {
  test('the one of the docs, from a file, beside the product in doubles', { timeout: 240_000 }, async () => {
    const pattern = await fromDocs()
    expect(pattern.name).toBe('own-blocks')
    await checkPattern(pattern, adapter === 'cpu' ? {} : { shapes: [[40, 36]], densities: [0.5] })
    expect(launched(pattern, [32, 24])[0]).toBe('pattern own-blocks, its kernel (forward)')
    if (adapter !== 'cpu') return
    expect(launched(pattern, [30, 24])[0]).toContain('sparse/tiles.wgsl') // rows of out are no whole vectors
    for (const density of [0, 0.01, 0.5, 1]) {
      const shape = [36, 44] as const, weight = Float32Array.from(random(5, shape).data)
      const keep = pattern.keep(weight.map(Math.abs), shape, density)
      const sparse = SparseWeight.of(pattern, weight, keep, shape)
      const dense = nd(shape, weight.map((value, i) => keep[i] ? value : 0))
      const [x, bias, residual] = [random(1, [7, 44]), random(2, [36]), random(3, [7, 36])]
      const [tx, tb, tr] = [x, bias, residual].map((each) => toTensor(each))
      const plain = reference.linear(x, dense, bias)
      for (
        const [y, expected] of [
          [sparseLinear(tx, sparse, tb), plain],
          [sparseLinearGelu(tx, sparse, tb), gelu(plain)],
          [sparseLinearAdd(tx, sparse, tb, tr), add(plain, residual)],
        ] as const
      ) expect(relativeError(await y.data(), expected.data)).toBeLessThan(1e-5)
      disposeTree(sparse)
    }
  })

  test('all three products by kernels of its own', async () => {
    const pattern = definePattern(sound)
    await checkPattern(pattern, adapter === 'cpu' ? {} : small)
    expect(launched(pattern, [12, 8])).toEqual(
      ['forward', 'input', 'values'].map((part) => `pattern mine, its kernel (${part})`),
    )
  })

  test('another text under the same name is another kernel', async () => {
    await checkPattern(definePattern({ ...sound, kernels: { forward } }), small)
    const other = { ...forward, wgsl: forward.wgsl.replace('put(m, n, sum)', 'put(m, n, 2.0 * sum)') }
    await expect(checkPattern(definePattern({ ...sound, kernels: { forward: other } }), small)).rejects.toThrow(
      InputError,
    )
  })

  const ownWalk = (walk: string) => ({
    index: listedIndex,
    positions: listedPositions,
    walk: { ...listedWalk, wgsl: walk },
  })
  const changed = (part: 'forward' | 'input' | 'values', from: string, to: string): PatternSpec => {
    const own = { forward, input, values }[part]
    expect(own.wgsl).toContain(from)
    return { ...sound, kernels: { [part]: { ...own, wgsl: own.wgsl.replace(from, to) } } }
  }
  const inKernel = 'its keep, pack and places are right, but its own kernel'
  const faults: [string, () => PatternSpec, string, typeof InputError | typeof KernelError][] = [
    [
      'a forward kernel that goes one slot too far',
      () => changed('forward', 'row_start[n / 4u + 1u]', 'row_start[n / 4u + 1u] + 1u'),
      `${inKernel} (kernels.forward, of x and the weight) gives`,
      InputError,
    ],
    [
      'a forward kernel with too few workgroups',
      () => ({ ...sound, kernels: { forward: { ...forward, workgroups: () => 1 } } }),
      'kernels.forward, of x and the weight) gives NaN at row 3',
      InputError,
    ],
    [
      'a kernel of the gradient to x that reads another row',
      () => changed('input', 'k % 4u * 4u + r]', 'k % 4u * 4u + 3u - r]'),
      `${inKernel} (kernels.input, of the gradient to x) gives`,
      InputError,
    ],
    [
      'a kernel of the gradient to the values that leaves out a row',
      () => changed('values', 'var m = 0u', 'var m = 1u'),
      `${inKernel} (kernels.values, of the gradient to the values) gives`,
      InputError,
    ],
    [
      'a pack that is wrong is not the fault of the kernel',
      () => ({
        ...sound,
        unpack: (packed) => definePattern(sound).unpack({ ...packed, values: packed.values.map((value) => -value) }),
        pack: (weight, keep, shape) => {
          const places = positionsOf(keep, shape, tile), made = packTiles(weight, keep, shape, tile, places)
          return {
            ...made,
            values: made.values.map((value) => -value),
            index: listedIndex(places, shape, tile),
          }
        },
      }),
      'pack must lay values out as Packed says',
      InputError,
    ],
    [
      'a number of workgroups that is none',
      () => ({ ...sound, kernels: { forward: { ...forward, workgroups: ({ M }) => M / 2 } } }),
      'its kernel (forward): 2.5 workgroups for x [5, 22] and a weight of [18,22]; expected a whole number',
      KernelError,
    ],
    [
      'a text that does not parse',
      () => changed('forward', 'let k =', 'let k'),
      'pattern mine, its kernel (forward): the text does not parse as WGSL',
      KernelError,
    ],
    [
      'a text that does not compile',
      () => changed('forward', 'let n = i % p.N;', 'let n = f32(i % p.N);'),
      'pattern mine, its kernel (forward)',
      KernelError,
    ],
    ['no entry point', () => changed('forward', 'fn main', 'fn start'), "no compute entry point 'main'", KernelError],
    [
      'a kernel that writes nothing',
      () => changed('forward', 'put(m, n, sum);', ''),
      'it never calls put(row, column, sum), so nothing is written',
      KernelError,
    ],
    [
      'a buffer of its own',
      () => ({
        ...sound,
        kernels: {
          forward: {
            ...forward,
            wgsl: `@group(0) @binding(9) var<storage, read> mine: array<f32>;\n${
              forward.wgsl.replace('var sum = 0.0', 'var sum = mine[0]')
            }`,
          },
        },
      }),
      "it declares a buffer 'mine'; it has x, values, row_start, tile_column, and writes by put",
      KernelError,
    ],
    [
      'a walk without WGSL, and a kernel that does not take all work',
      () => ({
        ...sound,
        ...ownWalk(''),
        kernels: { forward: { ...forward, fits: ({ K }) => K < 8 } },
      }),
      'its kernel (forward) does not take x [5, 22] and a weight of [18, 22], and its walk has no WGSL',
      InputError,
    ],
    [
      'a walk without WGSL, and no kernel of the product',
      () => ({ ...sound, ...ownWalk(''), kernels: { input } }),
      'its walk has no WGSL; give it, or a kernel of its own',
      InputError,
    ],
    [
      'a shape that does not fit',
      () => ({ ...sound, unfit: () => 'it has 18 outputs' }),
      'it does not fit',
      InputError,
    ],
  ]
  // A software driver says the same and takes seconds to compile each.
  test.each(adapter === 'cpu' ? faults : faults.slice(0, 1))('%s', async (_, spec, sentence, kind) => {
    const found = checkPattern(definePattern(spec()), small)
    await expect(found).rejects.toThrow(sentence)
    await expect(found).rejects.toThrow(kind)
  })

  test('a walk without WGSL where the kernel takes everything', async () => {
    const pattern = definePattern({ ...sound, ...ownWalk('') })
    await checkPattern(pattern, small)
  })

  test('no races', () => {
    const pattern = definePattern(sound), shape = [12, 8] as const, weight = new Float32Array(96).fill(1)
    const sparse = SparseWeight.of(pattern, weight, new Uint8Array(96).fill(1), shape)
    const x = toTensor(random(1, [3, 8])), { calls } = record(() => sparseLinear(x, sparse, null), [x, sparse.values])
    checkRaces(() => {
      sparseLinear(x, sparse, null)
      unrecorded(() => {
        calls[0].op.vjp(calls[0], toTensor(random(3, [3, 12])))
      })
    })
  })
})

test('what is no kernel is refused where the pattern is defined', () => {
  const of = (kernels: object, more: object = {}) => () =>
    definePattern({ ...sound, ...more, kernels: kernels as PatternSpec['kernels'] })
  expect(of({ backward: forward })).toThrow('kernels.backward: expected forward, input, values')
  expect(of({ forward: { wgsl: forward.wgsl } })).toThrow('expected { wgsl, workgroups }')
  expect(of({ forward: { ...forward, vectors: ['dy'] } })).toThrow(
    "no buffer 'dy' to be vectors; it has x, values, out",
  )
  const listed = { index: listedIndex, positions: listedPositions, walk: { ...listedWalk, wgsl: '' } }
  expect(of({}, { ...listed, walk: { wgsl: 'x', index: ['dy'] } })).toThrow("cannot be named 'dy'")
})

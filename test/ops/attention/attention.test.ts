import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { declaredKernels } from '../../../src/gpu/kernel.ts'
import { attention, attentionOpen, rowStatistics } from '../../../src/ops/attention/attention.ts'
import { attentionSizes } from '../../../src/ops/attention/shapes.ts'
import { attentionVariants } from '../../../src/ops/attention/variants.ts'
import { canRun, machine } from '../../../src/ops/shared/variants.ts'
import { pullback, record } from '../../../src/core/tape.ts'
import { empty, tensor, type Tensor } from '../../../src/core/tensor.ts'
import { checkOp, checkRaces, toTensor } from '../../support/check-op.ts'
import { vjp } from '../../../src/core/transform.ts'
import { describeDawn } from '../../support/dawn.ts'
import { describeDevice } from '../../support/device.ts'
import { type Nd, nd, random, randomMask, relativeError } from '../../reference/nd.ts'
import * as reference from '../../reference/attention.ts'
import { checkCase } from '../../support/golden-case.ts'

/** One shape: batch, queries, keys, heads, width of q and k, width of v, masks (0: none), with a bias or not. */
type Shape = [B: number, N: number, M: number, H: number, D: number, E: number, G: number, bias: boolean]

// Lengths and widths around the tiles, odd widths as pruning leaves them, D unlike E, one token, Swin's windows, keys
// of several blocks.
const shapes: Shape[] = [
  [1, 1, 1, 1, 4, 4, 0, false],
  [1, 17, 33, 1, 8, 4, 0, true],
  [4, 9, 9, 2, 4, 8, 2, true],
  [2, 16, 40, 1, 5, 7, 1, false],
  [1, 70, 65, 1, 61, 21, 0, true],
  [2, 65, 3, 2, 5, 7, 0, false],
  [1, 38, 33, 1, 100, 77, 0, true],
  [4, 49, 49, 2, 12, 12, 4, true],
  [2, 5, 130, 4, 8, 4, 0, false],
  [1, 31, 129, 1, 17, 64, 0, true],
  [2, 40, 193, 3, 5, 3, 2, true],
]

const inputs = ([B, N, M, H, D, E, , bias]: Shape): Nd[] => [
  random(1, [B, N, H, D]),
  random(2, [B, M, H, D]),
  random(3, [B, M, H, E]),
  ...bias ? [random(4, [H, N, M])] : [],
]

/** A mask of zeros and ones for the reference, and of 0 and `low` for the op. Query 0 of group 0 sees no key at all. */
function masks([, N, M, , , , G]: Shape, low: number): { plain: Nd | null, additive: Nd | null } {
  if (G === 0) return { plain: null, additive: null }
  const plain = randomMask(5, [G, N, M], 0.7)
  plain.data.fill(0, 0, M)
  return { plain: nd([G, 1, N, M], plain.data), additive: nd([G, N, M], plain.data.map((keep) => keep ? 0 : low)) }
}

const scale = 0.3

const check = (shape: Shape) => {
  const { plain, additive } = masks(shape, -Infinity)
  const mask = additive && toTensor(additive)
  return checkOp({
    call: (q, k, v, bias) => attention(q, k, v, bias ?? null, mask, { scale }),
    reference: (q, k, v, bias) => reference.attention(q, k, v, bias ?? null, plain, { scale }),
    args: inputs(shape),
    samples: 12,
  })
}

const title = 'batch %i, %i queries, %i keys, %i heads, widths %i and %i, %i masks, bias %s'

// Software drivers take the kernels that shuffle, the embedded device those packed for its caches, GPUs those with
// tiles in workgroup memory, which the embedded device runs here as well; all compile on the null backend.
describeDevice('attention', (adapter) => {
  test.each(shapes)(title, (...shape) => check(shape))

  test('the widest heads', () => check([1, 3, 7, 1, 128, 128, 0, true]))

  test('a mask of -100 is a number like any other', async () => {
    const shape: Shape = [2, 6, 5, 2, 4, 4, 2, true]
    const { additive } = masks(shape, -100)
    const mask = toTensor(additive!)
    await checkOp({
      call: (q, k, v, bias) => attention(q, k, v, bias, mask, { scale }),
      reference: (q, k, v, bias) => {
        const both = nd(
          [2, 2, 6, 5],
          Float64Array.from(
            { length: 120 },
            (_, i) => bias.data[i % 60] + additive!.data[Math.floor(i / 60) * 30 + i % 30],
          ),
        )
        return reference.attention(q, k, v, both, null, { scale })
      },
      args: inputs(shape),
    })
  })

  test('large scores do not overflow', async () => {
    const args = [random(6, [1, 9, 1, 8], 30), random(7, [1, 20, 1, 8], 30), random(8, [1, 20, 1, 4])]
    await checkOp({
      call: (q, k, v) => attention(q, k, v, null, null, { scale: 1 }),
      reference: (q, k, v) => reference.attention(q, k, v, null, null, { scale: 1 }),
      args,
      backward: false,
      tolerance: 1e-3, // scores of some thousands are rounded to 1e-4 before the exponential
    })
  })

  test('golden attention', async () => {
    await checkCase('attention', {
      attention: ([q, k, v], attrs) => attention(q, k, v, null, null, attrs as { scale: number }),
    })
  })

  test('open attention gives the same, forward and backward', async () => {
    const shape: Shape = [4, 9, 7, 2, 5, 6, 2, true]
    const { plain, additive } = masks(shape, -Infinity)
    const mask = toTensor(additive!)
    await checkOp({
      call: (q, k, v, bias) => attentionOpen(q, k, v, bias, mask, { scale }),
      reference: (q, k, v, bias) => reference.attention(q, k, v, bias, plain, { scale }),
      args: inputs(shape),
      samples: 12,
    })
  })

  test('only the gradients that are needed', () => {
    const [q, k, v, bias] = inputs([1, 5, 5, 1, 4, 4, 0, true]).map((x) => toTensor(x))
    for (const wanted of [0, 1, 2, 3]) {
      const leaf = [q, k, v, bias][wanted]
      const { result, calls } = record(() => attention(q, k, v, bias, null, { scale }), [leaf])
      const found = pullback(calls, [[result, result]], { wanted: [q, k, v, bias] })
      expect([...found.keys()]).toEqual([leaf])
    }
  })

  // What other adapters and other versions of Node take, on one of the two adapters only: a software driver compiles
  // for seconds.
  for (const variant of adapter === 'dawn' ? [] : attentionVariants.rows) {
    const { name, forward, backward } = variant
    for (const shape of shapes) {
      test(`${name}: ${shape.join()}`, async (context) => {
        const [q, k, v, bias = null] = inputs(shape).map((x) => toTensor(x))
        const { additive } = masks(shape, -Infinity)
        const mask = additive && toTensor(additive)
        const { outputs: [usual], back } = vjp(
          (q, k, v, bias) => attention(q, k, v, bias ?? null, mask, { scale }),
          q,
          k,
          v,
          ...bias ? [bias] : [],
        )
        const dout = toTensor(random(9, [...usual.shape])), grads = back(dout)

        const call = { q, k, v, bias, mask, scale, ...attentionSizes('attention', q, k, v, bias, mask) }
        if (!canRun(variant, call, machine())) return context.skip('this adapter cannot run it')
        const out = empty(usual.shape), logsum = empty([call.B, call.H, call.N])
        forward(call, out, logsum, 0)
        const found = backward(call, dout, rowStatistics(call, out, dout, logsum), [true, true, true, true])
        const same = async (a: Tensor, b: Tensor) => {
          expect(relativeError(await a.data(), Float64Array.from(await b.data()))).toBeLessThan(1e-5)
        }
        await same(out, usual)
        for (const [i, grad] of grads.entries()) await same(found[i]!, grad!)
      })
    }
  }

  test('memory is linear in the number of tokens', () => {
    const q = toTensor(random(9, [1, 400, 2, 4]))
    gpu().pool.trim()
    const before = gpu().pool.memory.allocated
    const { outputs: [out], back, free } = vjp((x) => attention(x, x, x, null, null, { scale }), q)
    back(out)
    // Output, log-sum, their pairs with delta, and gradients: a matrix of 400 x 400 per head would be 100 times q.
    expect(gpu().pool.memory.allocated - before).toBeLessThan(8 * q.bytes)
    free()
  })

  test('no races', () => {
    const args = inputs([1, 2, 3, 1, 4, 4, 0, true]).map((x) => toTensor(x)) as [Tensor, Tensor, Tensor, Tensor]
    const shuffles = 'the detector knows no subgroups; no workgroup memory here, and every row has one owner'
    checkRaces(() => {
      const { outputs: [out], back } = vjp((q, k, v, bias) => attention(q, k, v, bias, null, { scale }), ...args)
      back(out)
    }, { falseAlarms: { 'attention/subgroup.wgsl': shuffles, 'attention/subgroup-gradient.wgsl': shuffles } })
  })

  describe('errors', () => {
    const zeros = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)
    test('shapes that do not fit', () => {
      const q = zeros(4, 3, 2, 5)
      const k = zeros(4, 6, 2, 5)
      const v = zeros(4, 6, 2, 7)
      const attrs = { scale: 1 }
      expect(() => attention(zeros(4, 3, 10), k, v, null, null, attrs)).toThrow(ShapeError)
      expect(() => attention(q, zeros(4, 6, 2, 4), v, null, null, attrs)).toThrow(/k \[4,6,2,4\] does not fit q/)
      expect(() => attention(q, k, zeros(4, 5, 2, 7), null, null, attrs)).toThrow(/v \[4,5,2,7\] does not fit k/)
      expect(() => attention(q, k, v, zeros(2, 6, 3), null, attrs)).toThrow(/bias \[2,6,3\]/)
      expect(() => attention(q, k, v, null, zeros(3, 3, 6), attrs)).toThrow(/mask \[3,3,6\]/)
      expect(() => attentionOpen(q, k, v, null, zeros(3, 3, 6), attrs)).toThrow(/attentionOpen/)
    })
  })
})

/** Compiles every version of a kernel file that has, or has not, as many buffers as the null backend allows. */
async function compileAll(name: string, few: boolean): Promise<void> {
  const found = declaredKernels().filter(({ file, reflection }) =>
    file === `attention/${name}.wgsl` && reflection.storage.length <= 8 === few
  )
  expect(found.length).toBeGreaterThan(0)
  for (const kernel of found) {
    const { overrides } = kernel.reflection
    for (const flag of [0, 1]) {
      const switches: Record<string, number> = overrides.includes('BIAS') ? { BIAS: flag, MASK: flag } : {}
      const tile: Record<string, number> = overrides.includes('COLUMNS')
        ? { OWN: 32, OTHER: 16, COLUMNS: flag ? 4 : 2, THREADS: flag ? 8 : 16 }
        : {}
      gpu().launches.pipeline(kernel, { ...switches, ...tile })
    }
  }
  await gpu().failures.settle()
}

describeDawn('attention on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null' })
  })
  afterAll(close)
  test.each([
    'tiled',
    'tiled-gradient',
    'blocked',
    'subgroup',
    'subgroup-gradient',
    'row-statistics',
  ])(
    'every version of %s.wgsl compiles',
    (name) => compileAll(name, true),
  )
})

describeDawn('attention on a real adapter', () => {
  beforeAll(async () => {
    await init({ adapter: 'dawn', fixedVariants: true })
  })
  afterAll(close)
  test.each(['blocked-gradient', 'subgroup-gradient'])(
    '%s.wgsl with more than eight buffers compiles',
    (name) => compileAll(name, false),
  )
})

// Focused linear attention in few passes gives what its formula gives in doubles, for any widths, and is the plain ops
// wherever a tape looks or a gate stands between.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { compile } from '../../../src/core/compile.ts'
import { record, unrecorded } from '../../../src/core/tape.ts'
import type { Tensor } from '../../../src/core/tensor.ts'
import { inference, trace } from '../../../src/core/transform.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { declaredKernels } from '../../../src/gpu/kernel.ts'
import { FocusedAttention } from '../../../src/nn/focused-attention.ts'
import { initialize } from '../../../src/nn/init.ts'
import { focusedAttention } from '../../../src/ops/attention/focused.ts'
import { checkOp, checkRaces, observeLaunches, toTensor } from '../../support/check-op.ts'
import { describeDawn } from '../../support/dawn.ts'
import { describeDevice } from '../../support/device.ts'
import * as attention from '../../reference/attention.ts'
import { depthwise } from '../../reference/conv.ts'
import { type Nd, nd, random, relativeError } from '../../reference/nd.ts'
import { permute, reshape } from '../../reference/shape.ts'

interface Case {
  batch: number
  window: number
  H: number
  D: number
  E: number
  taps: number
  /** Whether heads share the kernel. */
  shared?: boolean
  power?: number
}

// Windows that do not divide by the four pixels of an invocation or are smaller than the kernel, odd widths, kernels of
// each head, powers other than 3, taps that are not fused (1, 9), more rows than a workgroup.
const cases: Case[] = [
  { batch: 1, window: 1, H: 1, D: 1, E: 1, taps: 3, shared: true },
  { batch: 2, window: 7, H: 3, D: 8, E: 8, taps: 5, shared: true },
  { batch: 1, window: 4, H: 2, D: 12, E: 4, taps: 7 },
  { batch: 2, window: 5, H: 2, D: 5, E: 3, taps: 3, shared: true, power: 2.5 },
  { batch: 1, window: 3, H: 1, D: 4, E: 6, taps: 5, power: 2 },
  { batch: 3, window: 2, H: 2, D: 4, E: 4, taps: 9, shared: true },
  { batch: 1, window: 17, H: 2, D: 3, E: 4, taps: 1 },
]

const inputs = ({ batch, window, H, D, E, taps, shared = false }: Case): Nd[] => {
  const N = window ** 2, own = shared ? [E] : [H, E]
  return [
    random(1, [batch, N, H, D]),
    random(2, [batch, N, H, D]),
    random(3, [batch, N, H, E]),
    random(4, [H, D]),
    random(5, [N, H, D], 0.3),
    random(6, [...own, 1, taps, taps], 0.4),
    random(7, own),
  ]
}

/** The formula in doubles. */
function formula(args: readonly Nd[], { window, power = 3 }: Case): Nd {
  const [q, k, v, sharpness, positions, kernel, bias] = args, [batch, N, H, E] = v.shape
  const features = (t: Nd, added: Nd | null) =>
    attention.focus(
      nd(
        t.shape,
        t.data.map((value, i) => {
          const sharp = Math.log1p(Math.exp(sharpness.data[i % sharpness.data.length]))
          return (Math.max(0, value + (added ? added.data[i % added.data.length] : 0)) + 1e-6) / sharp
        }),
      ),
      { power, over: 2 },
    )
  const out = attention.linearAttention(features(q, null), features(k, positions), v)
  const channels = kernel.shape.length === 4 ? E : H * E
  const image = reshape(
    permute(reshape(v, { shape: [batch, window, window, H, E] }), { order: [0, 3, 4, 1, 2] }),
    { shape: [batch * H * E / channels, channels, window, window] },
  )
  const [side] = kernel.shape.slice(-1), weight = reshape(kernel, { shape: [channels, 1, side, side] })
  const local = depthwise(image, weight, reshape(bias, { shape: [channels] }), { padding: side >> 1 })
  const back = permute(reshape(local, { shape: [batch, H, E, window, window] }), { order: [0, 3, 4, 1, 2] })
  return nd([batch, N, H, E], out.data.map((value, i) => value + back.data[i]))
}

const call = (args: readonly Tensor[], { window, power = 3 }: Case) => {
  const [q, k, v, sharpness, positions, kernel, kernelBias] = args
  return focusedAttention(q, k, v, { sharpness, positions, kernel, kernelBias, power, window })
}

const kernelsOf = (work: () => void) => observeLaunches(work).map(({ kernel }) => kernel.file)
const fused = ['attention/focus.wgsl', 'attention/local.wgsl']

describeDevice('focusedAttention', (adapter) => {
  // A software driver takes seconds to compile a version.
  test.each(adapter === 'cpu' ? cases : [cases[1], cases[3]])('%o', async (one) => {
    const args = inputs(one).map(({ shape, data }) => nd(shape, Float64Array.from(data, Math.fround)))
    const expected = formula(args, one), given = args.map((arg) => toTensor(arg))
    const files = kernelsOf(() => call(given, one))
    expect(fused.every((file) => files.includes(file))).toBe([3, 5, 7].includes(one.taps))
    const out = call(given, one)
    expect([...out.shape]).toEqual(expected.shape)
    expect(relativeError(await out.data(), expected.data)).toBeLessThanOrEqual(1e-5)
  })

  test('gradients, and the plain ops under a tape', async () => {
    const one = { ...cases[1], window: 3, D: 3, E: 4 }
    await checkOp({
      call: (...args) => call(args, one),
      reference: (...args) => formula(args, one),
      args: inputs(one),
      samples: 6,
    })
    const args = inputs(one).map((arg) => toTensor(arg)), { calls } = record(() => call(args, one), args)
    expect(calls.map(({ op }) => op.name)).toEqual(expect.arrayContaining(['norm', 'linear-attention', 'depthwise']))
    expect(calls.map(({ op }) => op.name)).not.toContain('focus+linear-attention+depthwise')
  })

  test('a layer: the same with a tape, in `inference`, and once a gate has a mask', async () => {
    const layer = initialize(new FocusedAttention(24, 2, 5), 3)
    layer.sharpness.write(Float32Array.from(random(1, [2, 12]).data))
    layer.positions.write(Float32Array.from(random(2, [25, 2, 12]).data))
    layer.kernelBias.write(Float32Array.from(random(3, [12]).data))
    const x = toTensor(random(9, [2, 25, 24], 3)), { result } = record(() => layer.call(x), [x])
    const plain = await result.data(), captured = compile((y: Tensor) => layer.call(y))
    expect(fused.every((file) => kernelsOf(() => layer.call(x)).includes(file))).toBe(true)
    for (const run of [() => layer.call(x), () => inference(() => layer.call(x)), () => captured(x)]) {
      expect(relativeError(await run().data(), plain)).toBeLessThanOrEqual(3e-6)
    }
    expect(trace((input) => layer.call(input([2, 25, 24]))).calls.map(({ op }) => op.name)).toContain('depthwise')

    const mask = Float32Array.from({ length: 24 }, (_, i) => i % 3 === 0 ? 0 : 1)
    layer.keys.mask = toTensor(nd([2, 12], mask))
    const masked = await unrecorded(() => layer.call(x)).data()
    expect(kernelsOf(() => layer.call(x))).not.toContain(fused[0])
    expect(relativeError(masked, plain)).toBeGreaterThan(1e-3)
    expect(relativeError(await record(() => layer.call(x), [x]).result.data(), masked)).toBeLessThanOrEqual(3e-6)
    expect(relativeError(await captured(x).data(), masked)).toBeLessThanOrEqual(3e-6)
  })

  test('what does not fit is refused', () => {
    const one = cases[1], args = inputs(one).map((arg) => toTensor(arg))
    const wrong = (i: number, shape: number[]) => args.map((arg, j) => i === j ? toTensor(random(1, shape)) : arg)
    expect(() => call(args, { ...one, window: 6 })).toThrow(/a window of 6 wants \[batch, 36, heads, dim\]/)
    expect(() => call(wrong(1, [2, 49, 3, 4]), one)).toThrow(ShapeError)
    expect(() => call(wrong(3, [3, 4]), one)).toThrow(/sharpness \[3,4\].*expected \[3,8\]/)
    expect(() => call(wrong(4, [1, 3, 8]), one)).toThrow(/positions \[1,3,8\].*\[49,3,8\]/)
    expect(() => call(wrong(5, [8, 1, 4, 4]), one)).toThrow(/kernel \[8,1,4,4\].*odd side/)
    expect(() => call(wrong(6, [9]), one)).toThrow(/kernelBias \[9\].*expected \[8\]/)
  })

  test('no races', () => {
    for (const one of [{ ...cases[1], window: 2, D: 4, E: 4, taps: 3 }, { ...cases[3], window: 2 }]) {
      const args = inputs(one).map((arg) => toTensor(arg))
      checkRaces(() => {
        call(args, one)
      })
    }
  })
})

describe('focusedAttention in the debug modes of the embedded device', () => {
  afterEach(close)

  test.each(['race', 'permuted', 'bounds', 'nan'] as const)('%s', async (mode) => {
    await init({ adapter: 'cpu', mode })
    for (const one of [cases[1], cases[3]]) {
      const args = inputs(one), out = await call(args.map((arg) => toTensor(arg)), one).data()
      expect(relativeError(out, formula(args, one).data)).toBeLessThanOrEqual(1e-5)
    }
  })
})

describeDawn('focusedAttention on the null backend', () => {
  beforeAll(async () => {
    await init({ backend: 'null' })
  })
  afterAll(close)

  test('every version compiles', async () => {
    const found = declaredKernels().filter(({ file }) => fused.includes(file))
    expect(found.length).toBe(8)
    for (const kernel of found.filter(({ file }) => file === fused[1])) gpu().launches.pipeline(kernel)
    for (const kernel of found.filter(({ file }) => file === fused[0])) {
      for (const THREADS of [1, 8, 32]) {
        for (const [PLACED, CUBE] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
          gpu().launches.pipeline(kernel, { THREADS, PLACED, CUBE })
        }
      }
    }
    await gpu().failures.settle()
  })
})

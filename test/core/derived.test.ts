// What is made of a weight is made once, anew when that was written, in captures too, and goes with it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { derived } from '../../src/core/derived.ts'
import { copyInto } from '../../src/core/fill.ts'
import { empty, type Tensor, tensor } from '../../src/core/tensor.ts'
import { scope, valueAndGrad } from '../../src/core/transform.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { pixelVariants } from '../../src/ops/conv2d/variants.ts'
import { add, mul, relu, scale } from '../../src/ops/elementwise.ts'
import { mean } from '../../src/ops/reduce.ts'
import { force } from '../../src/ops/shared/variants.ts'
import { sgd } from '../../src/train/optim.ts'
import { random, relativeError } from '../reference/nd.ts'
import { toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('derived', (adapter) => {
  /** A copy of the source, and how often it was made. */
  function copies() {
    const count = { made: 0 }
    return {
      count,
      of: (source: Tensor) =>
        derived(source, 'copy', source.shape, (from, to) => {
          count.made++
          copyInto(from, to)
        }),
    }
  }
  const read = async (x: Tensor) => [...await x.data()]

  test('made once, and anew after each kind of writing', async () => {
    const w = tensor([1, 2, 3]), { count, of } = copies()
    expect(await read(of(w))).toEqual([1, 2, 3])
    expect(scope(() => of(w))).toBe(of(w.view([3, 1])))
    expect(count.made).toBe(1)
    w.write(Float32Array.of(4, 5, 6))
    expect(await read(of(w))).toEqual([4, 5, 6])
    w.writeAt(Float32Array.of(9), 1)
    expect(await read(of(w))).toEqual([4, 9, 6])
    copyInto(tensor([7, 7, 7]), w)
    expect(await read(of(w))).toEqual([7, 7, 7])
    expect(count.made).toBe(4)
  })

  test('freed with the last tensor of its source, whatever scope it was made in', async () => {
    const before = gpu().pool.memory.live,
      w = tensor(new Float32Array(4096)),
      other = w.view([64, 64]),
      { of } = copies()
    const found = scope(() => {
      of(w)
      return null
    })
    expect(found).toBeNull()
    expect(gpu().pool.memory.live - before).toBeGreaterThanOrEqual(2 * 4 * 4096)
    w.dispose()
    expect(await read(of(other))).toHaveLength(4096)
    other.dispose()
    expect(gpu().pool.memory.live).toBe(before)
  })

  test('a replay sees what was written since, and makes nothing where nothing was', async () => {
    const w = tensor([1, 2]), x = tensor([10, 10]), { count, of } = copies()
    const step = compile((x: Tensor) => mul(of(w), x))
    for (let i = 0; i < 3; i++) expect(await read(step(x))).toEqual([10, 20])
    expect(count.made).toBe(1)
    w.write(Float32Array.of(3, 4))
    expect(await read(step(x))).toEqual([30, 40])
    expect(await read(step(x))).toEqual([30, 40])
    expect(await read(of(w))).toEqual([3, 4])
    expect(count.made).toBe(2)
    step.clear()
  })

  test('a captured list that writes its source, before and after it is used', async () => {
    const w = tensor([1, 2]), { of } = copies()
    const after = compile(() => {
      const y = scale(of(w), { by: 1 })
      copyInto(add(w, w), w)
      return y
    })
    for (const expected of [[1, 2], [2, 4], [4, 8]]) expect(await read(after())).toEqual(expected)
    expect(await read(of(w))).toEqual([8, 16])
    const before = compile(() => {
      const y = scale(of(w), { by: 1 })
      copyInto(add(w, w), w)
      return add(y, of(w))
    })
    for (const expected of [[24, 48], [48, 96], [96, 192]]) expect(await read(before())).toEqual(expected)
    expect(await read(of(w))).toEqual([64, 128])
    after.clear()
    before.clear()
  })

  test('of what lives inside a capture nothing is kept', async () => {
    const w = tensor([1, 2]), { of } = copies()
    const step = compile((x: Tensor) => of(mul(w, x)))
    for (const by of [2, 3]) expect(await read(step(tensor([by, by])))).toEqual([by, 2 * by])
    step.clear()
  })

  test.runIf(adapter === 'cpu')('convolutions train in a captured step as they do without their strips', async () => {
    const losses: number[][] = [], x = random(1, [2, 5, 8, 8]), w = random(2, [18, 5, 3, 3], 0.3)
    for (const name of ['blocked', 'registers']) {
      force(pixelVariants, name)
      const model = { w: toTensor(w), v: toTensor(random(3, [6, 18, 3, 3], 0.2)) }
      const optimizer = sgd(model, { rate: 0.01 })
      const loss = (m: typeof model, x: Tensor) => {
        const y = conv2d(conv2d(x, m.w, null, { padding: 1, stride: 2 }), m.v, null, { padding: 1 })
        return mean(mul(y, y))
      }
      const step = compile((x: Tensor) => {
        const [value, gradients] = valueAndGrad(loss)(model, x)
        optimizer.update(model, gradients)
        return value
      })
      const found: number[] = [], images = toTensor(x)
      for (let i = 0; i < 5; i++) found.push(await step(images).item())
      found.push(await loss(model, images).item())
      step.clear()
      losses.push(found)
    }
    force(pixelVariants, null)
    expect(losses[0][5]).toBeLessThan(0.9 * losses[0][0])
    expect(relativeError(losses[0], losses[1])).toBeLessThan(1e-5)
  })
})

describe('derived where memory runs out, on the embedded device', () => {
  const mib = 2 ** 20, limit = 64 * mib
  beforeAll(() => init({ adapter: 'cpu', memoryLimit: limit, fixedVariants: true, threads: 1 }))
  afterAll(() => {
    force(pixelVariants, null)
    return close()
  })

  test.each(['blocked', 'winograd 2', 'winograd 4'])('%s: copies go, results stay', async (name) => {
    force(pixelVariants, name)
    // 2.25 MiB of weights, 2.25, 4 and 9 of copies.
    const w = toTensor(random(1, [256, 256, 3, 3], 0.05)),
      x = toTensor(random(2, [1, 256, 4, 4])),
      { memory } = gpu().pool
    const before = memory.live, call = compile((image: Tensor) => conv2d(image, w, null, { padding: 1 }))
    const read = async (y: Tensor) => {
      const values = [...await y.data()]
      y.dispose()
      return values
    }
    const eager = async () => read(conv2d(x, w, null, { padding: 1 }))
    const expected = await eager(), held = memory.live - before
    expect(held).toBeGreaterThanOrEqual(2.25 * mib)
    expect(await read(call(x))).toEqual(expected)
    // Until nothing is left, by tensors outside of ops and by what ops make.
    for (const inOp of [false, true]) {
      const chunk = empty([mib / 4]), filled = [chunk], full = memory.live
      expect(w.derived.size).toBe(1)
      expect(() => {
        while (filled.length < 64) filled.push(inOp ? relu(chunk) : empty([mib / 4]))
      }).toThrow(/no memory left/)
      expect(w.derived.size).toBe(0)
      expect(memory.live, 'what was freed is used').toBeGreaterThan(full - held + 50 * mib)
      // With ever more room: what an op has in hand is not taken from it.
      for (const each of filled) {
        each.dispose()
        const found = await eager().catch((error: unknown) => String(error))
        if (typeof found === 'string') expect(found).toMatch(/no memory left/)
        else expect(found, 'made again').toEqual(expected)
      }
      expect(await eager()).toEqual(expected)
    }
    expect(await read(call(x))).toEqual(expected)
    expect(await eager()).toEqual(expected)
    call.clear()
    w.dispose()
    x.dispose()
    expect(memory.live).toBe(0)
  })
})

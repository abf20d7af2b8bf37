// Gradients of masks against central differences, at every kind of gate: per element, per image, per class, and masks
// that are functions of parameters.
import { describe, expect, test } from 'vitest'
import { cifarResNet, flattenSwinTiny, Swin, ViT } from '../../models/index.ts'
import { compile, disposeTree, gatesOf, gelu, greater, initialize, leaves, mul, record, reshape, scope, sigmoid, slice,
  straightThrough, sum, type Tensor, tensor, trace, unmaskModel, units, valueAndGrad, withClassMasks,
  withMasks } from '../../src/index.ts'
import { ShapeError } from '../../src/base/errors.ts'
import { gpu } from '../../src/gpu/device.ts'
import type { Gate } from '../../src/nn/gate.ts'
import type { Model } from '../../src/nn/model.ts'
import { maskModel } from '../../src/pruning/plan/mask.ts'
import { Garden } from '../support/own-models.ts'
import { describeDevice } from '../support/device.ts'
import { generator, random, relativeError } from '../reference/nd.ts'

const images = 3, side = 16

const networks: Record<string, () => Model> = {
  'a ViT': () => new ViT({ image: side, patch: 4, width: 8, depth: 1, heads: 2, hidden: 12, classes: 4 }),
  'a Swin, whose batch axis holds windows': () =>
    new Swin({ image: side, patch: 2, width: 8, depths: [2], heads: [2], windows: 4, ratio: 2, classes: 4 }),
  'a FLatten-Swin': () =>
    flattenSwinTiny({
      image: side,
      patch: 2,
      width: 8,
      depths: [1],
      heads: [2],
      windows: 4,
      kinds: 'L',
      ratio: 2,
      classes: 4,
    }),
  'convolutions, some with branch-local gates': () => new Garden((x) => gelu(x)),
  'a ResNet': () => cifarResNet(8, { width: 4, classes: 4 }),
}

const filled = (seed: number, shape: readonly number[], low = 0.4, high = 1.6) => {
  const next = generator(seed)
  return tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => low + (high - low) * next()),
    shape,
  )
}
const input = (count = images) =>
  tensor(Float32Array.from(random(3, [count, 3, side, side]).data), [count, 3, side, side])

/** A network with gates that have masks, and the size of each. */
function made(make: () => Model): { model: Model, sizes: Map<string, number[]> } {
  const model = initialize(make(), 7, { std: 0.3 })
  const paths = new Map(gatesOf(model).map(([path, gate]) => [gate, path])), sizes = new Map<string, number[]>()
  for (const { op, attrs, out } of trace((give) => model.call(give([1, 3, side, side]))).calls) {
    const { at, axes } = attrs as { at?: Gate, axes: readonly number[] }
    if (op.name === 'gate' && at) sizes.set(paths.get(at)!, axes.map((axis) => out.shape.at(axis)!))
  }
  return { model, sizes }
}

/** Compares gradients of a loss with central differences at a few entries of every mask. */
async function compareWithDifferences<M extends Readonly<Record<string, Tensor>>>(
  loss: (masks: M) => Tensor,
  masks: M,
  samples = 2,
) {
  const [value, grads] = valueAndGrad(loss)(masks), step = 4e-3
  for (const [path, mask] of Object.entries(masks)) {
    const values = await mask.data() as Float32Array, found = await grads[path]!.data()
    expect([...grads[path]!.shape], path).toEqual([...mask.shape])
    const at = async (entry: number, by: number) => {
      mask.write(values.map((each, i) => i === entry ? each + by : each))
      const moved = scope(() => loss(masks)), number = await moved.item()
      moved.dispose()
      return number
    }
    const next = generator(path.length), largest = Math.max(...Array.from(found, Math.abs))
    expect(largest, path).toBeGreaterThan(1e-3)
    for (let i = 0; i < samples; i++) {
      const entry = i === 0 ? Array.from(found, Math.abs).indexOf(largest) : Math.floor(next() * values.length)
      const difference = (await at(entry, step) - await at(entry, -step)) / (2 * step)
      expect(Math.abs(difference - found[entry]) / largest, `${path} ${entry}`).toBeLessThan(0.02)
    }
    mask.write(values)
  }
  disposeTree([value, grads])
}

describeDevice('masks that learn', (adapter) => {
  describe.each(Object.entries(networks))('%s', (name, make) => {
    // relu has kinks, at which a difference is no derivative
    const smooth = name === 'a ResNet' ? undefined : test
    smooth?.(
      'gradients of masks per element and per image are those of central differences',
      async () => {
        const { model, sizes } = made(make)
        const image = input()
        const weights = filled(11, [images, 4], -1, 1)
        for (const lead of [[], [images]]) {
          const masks = Object.fromEntries(
            [...sizes].map(([path, size], i) => [path, filled(i + 20, [...lead, ...size])]),
          )
          await compareWithDifferences(
            (given: typeof masks) => withMasks(model, given, () => sum(mul(model.call(image), weights))),
            masks,
            adapter === 'dawn' ? 1 : 2,
          )
          disposeTree(masks)
        }
        disposeTree([model, image, weights])
      },
      240_000,
    )

    test('a mask per image is that image alone under its mask', async () => {
      const { model, sizes } = made(make), image = input()
      const masks = Object.fromEntries([...sizes].map(([path, size], i) => [path, filled(i + 20, [images, ...size])]))
      const row = (x: Tensor, i: number) =>
        slice(x, { starts: x.shape.map((_, axis) => axis ? 0 : i), stops: x.shape.map((n, axis) => axis ? n : i + 1) })
      const together = scope(() => withMasks(model, masks, () => model.call(image)))
      for (let i = 0; i < images; i++) {
        const alone = scope(() => {
          const own = Object.entries(masks).map(([path, mask]) =>
            [path, reshape(row(mask, i), { shape: mask.shape.slice(1) })] as const
          )
          return withMasks(model, new Map(own), () => model.call(row(image, i)))
        })
        expect(relativeError(await alone.data(), (await together.data()).slice(4 * i, 4 * i + 4)), `image ${i}`)
          .toBeLessThan(1e-5)
        alone.dispose()
      }
      disposeTree([model, image, masks, together])
    })

    test('a class has a row of the mask: images of it share it, and its gradient is the sum of theirs', async () => {
      const { model, sizes } = made(make), image = input(), classes = 5, of = [4, 1, 4]
      const labels = tensor(Int32Array.from(of)), weights = filled(11, [images, 4], -1, 1)
      for (const [path, gate] of gatesOf(model)) {
        if (sizes.has(path)) gate.mask = filled(path.length, [classes, ...sizes.get(path)!])
      }
      const [value, grads] = valueAndGrad((m: Model) =>
        withClassMasks(m, labels, () => sum(mul(m.call(image), weights)))
      )(model)
      const rows = Object.fromEntries(
        await Promise.all(
          gatesOf(model).flatMap(([path, { mask }]) =>
            mask
              ? [
                mask.data().then((data) => {
                  const size = mask.size / classes
                  return [
                    path,
                    tensor(Float32Array.from(of.flatMap((c) => [...data.subarray(c * size, (c + 1) * size)])), [
                      images,
                      ...mask.shape.slice(1),
                    ]),
                  ] as const
                }),
              ]
              : []
          ),
        ),
      )
      const [again, perImage] = valueAndGrad((given: typeof rows) =>
        withMasks(model, given, () => sum(mul(model.call(image), weights)))
      )(rows)
      expect(await value.item()).toBeCloseTo(await again.item(), 5)
      const found = new Map(leaves(grads))
      for (const [path, size] of sizes) {
        const own = await found.get(`${path}.mask`)!.data(), each = await perImage[path]!.data()
        const n = size.reduce((a, b) => a * b, 1), want = new Float32Array(classes * n)
        of.forEach((c, i) => {
          for (let j = 0; j < n; j++) want[c * n + j] += each[i * n + j]
        })
        expect(relativeError(own, want), path).toBeLessThan(1e-5)
      }
      expect(() => model.call(image)).toThrow(/has a row per class; call the model in withClassMasks/)
      disposeTree([model, image, labels, weights, value, grads, rows, again, perImage])
    })
  })

  test('soft and straight-through masks of parameters, for several gates, in a captured step', async () => {
    const { model, sizes } = made(networks['a ViT'])
    const image = input()
    const weights = filled(11, [images, 4], -1, 1)
    const half = tensor([0.5])
    const logits = Object.fromEntries([...sizes].map(([path, size], i) => [path, filled(i + 1, size, -2, 2)]))
    const loss = (given: typeof logits, hard: boolean) => {
      const masks = new Map(
        Object.entries(given).map(([path, each]) => {
          const soft = sigmoid(each)
          return [path, hard ? straightThrough(soft, greater(soft, half)) : soft]
        }),
      )
      return withMasks(model, masks, () => sum(mul(model.call(image), weights)))
    }
    await compareWithDifferences((given: typeof logits) => loss(given, false), logits, 1)
    const step = compile((given: typeof logits) => valueAndGrad((each: typeof logits) => loss(each, true))(given))
    for (let round = 0; round < 2; round++) { // the second one is a replay, with other values
      for (const [i, each] of Object.values(logits).entries()) {
        const next = generator(round * 31 + i)
        each.write(Float32Array.from({ length: each.size }, () => 4 * next() - 2))
      }
      const [value, grads] = step(logits)
      // Straight through: the value under the hard mask, and its gradient there times the slope of the soft one.
      const hard = Object.fromEntries(
        await Promise.all(
          Object.entries(logits).map(async ([path, each]) => {
            const values = await each.data() as Float32Array
            return [path, tensor(values.map((v) => v > 0 ? 1 : 0), each.shape)] as const
          }),
        ),
      )
      const [want, plain] = valueAndGrad((given: typeof hard) =>
        withMasks(model, given, () => sum(mul(model.call(image), weights)))
      )(hard)
      expect(await value.item()).toBeCloseTo(await want.item(), 5)
      for (const [path, each] of Object.entries(logits)) {
        const slope = (await each.data() as Float32Array).map((v) => 1 / (1 + Math.exp(-v)) / (1 + Math.exp(v)))
        const expected = (await plain[path]!.data() as Float32Array).map((g, i) => g * slope[i])
        expect(relativeError(await grads[path]!.data(), expected), path).toBeLessThan(1e-5)
      }
      disposeTree([value, grads, hard, want, plain])
    }
    step.clear()
    disposeTree([model, image, weights, half, logits])
  })

  test('masks of a thousand classes make no copy of an activation per class', () => {
    const model = initialize(
      new ViT({ image: 32, patch: 4, width: 32, depth: 2, heads: 4, hidden: 128, classes: 10 }),
      1,
    )
    const image = tensor(new Float32Array(8 * 3 * 32 * 32).fill(0.1), [8, 3, 32, 32])
    const labels = tensor(Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7)), gates = gatesOf(model)
    const { pool } = gpu(), { memory } = pool
    const peak = (classes: number) => {
      let bytes = 0
      for (const [path, gate] of gates) {
        gate.mask?.dispose()
        gate.mask = null
        const size = path.endsWith('.heads') ? 4 : path.endsWith('.hidden') ? 128 : 0
        if (size) gate.mask = filled(1, [classes, size])
        bytes += classes * size * 4
      }
      pool.trim()
      const before = memory.allocated
      memory.peak = before
      const [value, grads] = valueAndGrad((m: ViT) => withClassMasks(m, labels, () => sum(m.call(image))))(model)
      disposeTree([value, grads])
      return { bytes, extra: memory.peak - before }
    }
    peak(10)
    const few = peak(10), many = peak(1000)
    // Gradients have the masks' size, and adding rows up into one takes a list of as many; a class's own copy of the
    // hidden layer alone would be 1,000 times 8 x 65 x 128 numbers.
    expect(many.extra - few.extra).toBeLessThan(4 * many.bytes)
    expect(few.extra).toBeGreaterThan(4 * 8 * 65 * 128)
    disposeTree([model, image, labels])
  })

  test('masks stand in for the time of a call; inner ones stand over outer ones', async () => {
    const { model, sizes } = made(networks['a ViT']), image = input()
    const [path] = [...sizes.keys()].filter((each) => each.endsWith('mlp.hidden')), size = sizes.get(path)!
    const none = tensor(new Float32Array(size[0]), size), all = tensor(new Float32Array(size[0]).fill(1), size)
    const run = async (work: () => Tensor) => {
      const out = scope(work)
      const values = await out.data()
      out.dispose()
      return values
    }
    const plain = await run(() => model.call(image))
    const without = await run(() => withMasks(model, { [path]: none }, () => model.call(image)))
    expect(relativeError(without, plain)).toBeGreaterThan(1e-3)
    expect(
      await run(() =>
        withMasks(model, { [path]: none }, () => withMasks(model, { [path]: all }, () => model.call(image)))
      ),
    ).toEqual(plain)
    expect(
      await run(() =>
        withMasks(model, { [path]: none }, () => withMasks(model, { [path]: null }, () => model.call(image)))
      ),
    ).toEqual(plain)
    expect(() =>
      withMasks(model, { [path]: none }, () => {
        throw new Error('stop')
      })
    ).toThrow('stop')
    expect(await run(() => model.call(image))).toEqual(plain)
    // A mask of the gate's own comes back too.
    const found = units(model, [1, 3, side, side])
    maskModel(model, found, new Map([[path, new Uint8Array(size[0])]]))
    expect(await run(() => withMasks(model, { [path]: null }, () => model.call(image)))).toEqual(plain)
    expect(await run(() => model.call(image))).toEqual(without)
    unmaskModel(model)
    disposeTree([model, image, none, all])
  })

  test('what does not fit is refused', () => {
    const { model } = made(networks['a ViT'])
    const image = input()
    const rows = filled(1, [2, 12])
    expect(() => withMasks(model, { 'blocks.7.mlp.hidden': null }, () => 0)).toThrow(
      /no gate at 'blocks\.7\.mlp\.hidden'; the model has stream, blocks\.0\./,
    )
    expect(() => withMasks(model, {}, () => Promise.resolve())).toThrow(ShapeError)
    expect(() => withMasks(model, { 'blocks.0.mlp.hidden': rows }, () => model.call(image))).toThrow(
      /mask \[2,12\] does not fit .* expected mask \[12\], or \[3,12\] for one per image/,
    )
    // Windows are several entries of one image each, so fewer rows than entries fit there, but not any number.
    const { model: swin } = made(networks['a Swin, whose batch axis holds windows'])
    expect(() =>
      withMasks(swin, { 'stages.0.blocks.0.attention.inner.heads': filled(1, [5, 2]) }, () => swin.call(image))
    )
      .toThrow(/or \[images,2\] for one per image/)
    disposeTree([model, swin, image, rows])
  })

  test('straight-through: values of one, gradient of the other', async () => {
    const soft = tensor([0.2, 0.7])
    const hard = tensor([0, 1])
    const weights = tensor([3, 5])
    const [value, grads] = valueAndGrad((each: { soft: Tensor, hard: Tensor }) =>
      sum(mul(straightThrough(each.soft, each.hard), weights))
    )({ soft, hard })
    expect(await value.item()).toBe(5)
    expect([...await grads.soft!.data()]).toEqual([3, 5])
    expect(grads.hard).toBeNull()
    expect(() => straightThrough(soft, value)).toThrow(ShapeError)
    const { calls } = record(() => straightThrough(soft, hard), [soft])
    expect(calls.map(({ op }) => op.name)).toEqual(['straight-through'])
    disposeTree([soft, hard, weights, value, grads, calls.map(({ out }) => out)])
  })
})

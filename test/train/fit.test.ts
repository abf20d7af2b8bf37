// The training loop as methods use it: groups, ascent, penalties, hooks, masks by label, stages that are resumed,
// distillation. Networks are small perceptrons on the digits that ship with the package.
import { expect, test } from 'vitest'
import { MLP } from '../../models/index.ts'
import { InputError } from '../../src/base/errors.ts'
import { compile } from '../../src/core/compile.ts'
import { fillNormal } from '../../src/base/random.ts'
import { copyInto, copyOf } from '../../src/core/fill.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import { disposeTree, leaves } from '../../src/core/tree.ts'
import { type Dataset } from '../../src/data/datasets.ts'
import { gpu } from '../../src/gpu/device.ts'
import type { Context } from '../../src/nn/context.ts'
import { initialize } from '../../src/nn/init.ts'
import { BatchNorm } from '../../src/nn/norm.ts'
import { batchNormTrain } from '../../src/ops/batchnorm.ts'
import { crossEntropy } from '../../src/ops/cross-entropy.ts'
import { abs, add, clamp, mul, scale, sub } from '../../src/ops/elementwise.ts'
import { gather } from '../../src/ops/gather.ts'
import { linear } from '../../src/ops/matmul/linear.ts'
import { mean, sum } from '../../src/ops/reduce.ts'
import { reshape } from '../../src/ops/reshape.ts'
import { evaluate } from '../../src/train/evaluate.ts'
import { fit } from '../../src/train/fit.ts'
import type { FitHook } from '../../src/train/hooks.ts'
import { distilled } from '../../src/train/objective.ts'
import { adamW, sgd } from '../../src/train/optim.ts'
import { fitStage, memoryStore } from '../../src/train/resume.ts'
import { describeDevice } from '../support/device.ts'
import { relativeError } from '../reference/nd.ts'
import { openDigits } from '../support/digits.ts'

const slow = 120_000
const open = (count: number) => openDigits(0, count - 1)
const fresh = (seed = 3): MLP => initialize(new MLP({ hidden: [16] }), seed, 'kaiming')
const values = async (model: unknown) =>
  new Map(
    await Promise.all(leaves(model).map(async ([path, leaf]) => [path, [...await leaf.data()]] as const)),
  )

describeDevice('fit', () => {
  test('a group has its own optimiser and rate, a frozen one and what no group wants stay bit for bit', async () => {
    const data = await open(40)
    const model = fresh()
    const before = await values(model)
    const rates: number[] = []
    await fit(model, data, {
      epochs: 2,
      batch: 20,
      classes: 10,
      groups: [
        { name: 'first layer', parameters: (path) => path.startsWith('layers.0'), frozen: true },
        {
          name: 'weight',
          parameters: [model.layers[1].weight],
          optimizer: (parameters, options) => sgd(parameters, { ...options, momentum: 0.9 }),
          schedule: ({ step, steps }) => {
            rates.push(step / steps)
            return 0.1
          },
        },
      ],
    })
    const after = await values(model)
    expect(rates).toEqual([0, 0.25, 0.5, 0.75])
    expect([...after].filter(([path, now]) => now.join() !== before.get(path)!.join()).map(([path]) => path))
      .toEqual(['layers.1.weight'])
    disposeTree(model)
  }, slow)

  test('a multiplier beside the model goes up the gradient, a weight down', async () => {
    // minimise w^2 / 2 subject to w = 3 through the Lagrangian w^2 / 2 + m (3 - w): m = w = 3
    const data = await open(20), model = fresh()
    const extra = { weight: tensor([0]), multiplier: tensor([0]) }
    await fit(model, data, {
      epochs: 60,
      batch: 20,
      classes: 10,
      extra,
      loss: (_, __, { extra: { weight, multiplier } }) =>
        sum(add(scale(mul(weight, weight), { by: 0.5 }), mul(multiplier, sub(tensor([3]), weight)))),
      groups: [
        { parameters: [extra.multiplier], ascent: true, optimizer: sgd, schedule: () => 0.2, decay: 0 },
        { parameters: [extra.weight], optimizer: sgd, schedule: () => 0.5, decay: 0 },
      ],
    })
    expect(await extra.weight.item()).toBeCloseTo(3, 2)
    expect(await extra.multiplier.item()).toBeCloseTo(3, 2)
    disposeTree([model, extra])
  }, slow)

  test('masks chosen by label are learnt through the loss, with a penalty, and no weight is touched', async () => {
    const data = await open(60)
    const model = fresh()
    const before = await values(model)
    const extra = { masks: tensor(new Float32Array(160).fill(1), [10, 16]) }
    const { losses } = await fit(model, data, {
      epochs: 20,
      batch: 20,
      classes: 10,
      extra,
      forward: ({ layers: [first, last] }, { images, labels }, { extra: { masks } }) => {
        const hidden = first.call(images.view([images.shape[0], 784]))
        return last.call(mul(clamp(hidden, { low: 0, high: 1e9 }), gather(masks, labels, { axis: 0 })))
      },
      penalty: (_, __, { extra: { masks } }) => scale(mean(abs(masks)), { by: 0.1 }),
      groups: [{ parameters: (path) => path === 'extra.masks', rate: 0.05 }],
    })
    expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0])
    expect(await values(model)).toEqual(before)
    const masks = await extra.masks.data()
    expect(new Set(masks).size).toBeGreaterThan(100)
    disposeTree([model, extra])
  }, slow)

  test('after two captured steps no buffer is made, with groups, hooks, average and a teacher', async () => {
    const data = await open(100)
    const model = fresh()
    const teacher = fresh(8)
    const made: number[] = []
    const projection: FitHook<MLP> = {
      name: 'projection',
      beforeUpdate: (gradients) =>
        new Map([...gradients].map(([path, each]) => [path, each && scale(each, { by: 0.5 })])),
      afterUpdate: ({ layers: [{ weight }] }) => {
        copyInto(clamp(weight, { low: -0.05, high: 0.05 }), weight)
      },
    }
    await fit(model, data, {
      epochs: 2,
      batch: 10,
      classes: 10,
      average: 0.9,
      distillation: { teacher, kind: 'hard' },
      hooks: [projection],
      groups: [{ parameters: (path) => path.endsWith('bias'), optimizer: sgd }, { optimizer: adamW, rate: 0.01 }],
      onStep: () => {
        made.push(gpu().pool.memory.created)
      },
    })
    expect(new Set(made.slice(2)).size).toBe(1)
    const weight = await model.layers[0].weight.data()
    expect(Math.max(...weight.map(Math.abs))).toBe(Math.fround(0.05))
    disposeTree([model, teacher])
  }, slow)

  test('stages with groups, extra parameters and a hook of its own state go on to the same numbers', async () => {
    const data = await open(40)
    const attempt = async (store: ReturnType<typeof memoryStore>, stopAfter = Infinity) => {
      const model = fresh(), extra = { shift: tensor(new Float32Array(10)) }
      const dual = { u: copyOf(model.layers[0].weight) }
      let rho = 1, epochs = 0
      const admm: FitHook<MLP> = {
        name: 'admm',
        tensors: dual,
        save: () => ({ rho }),
        load: (saved) => {
          ;({ rho } = saved as { rho: number })
        },
        async afterEpoch({ model: { layers: [{ weight }] } }) {
          rho *= 1.1
          const host = await weight.data() as Float32Array
          dual.u.write(host.map((value) => value * rho))
        },
      }
      const common = { epochs: 3, batch: 20, classes: 10, seed: 4, extra }
      const stop = () => {
        if (++epochs > stopAfter) throw new Error('the power went')
      }
      const stages = [
        () =>
          fitStage(model, data, {
            ...common,
            hooks: [admm],
            forward: (m, { images }, context) => add(m.call(images), context.extra.shift),
            penalty: ({ layers: [{ weight }] }) => scale(sum(mul(weight, dual.u)), { by: 1e-3 }),
            groups: [{ parameters: [extra.shift], optimizer: sgd, rate: 0.1 }, {}],
            onEpoch: stop,
          }, { store, stage: 'soft' }),
        () => fitStage(model, data, { ...common, rate: 1e-4, onEpoch: stop }, { store, stage: 'tune' }),
      ]
      const steps: number[][] = []
      for (const stage of stages) steps.push([...(await stage()).steps])
      const all = { steps, rho, ...Object.fromEntries(await values({ model, extra, dual })) }
      disposeTree([model, extra, dual])
      return all
    }
    const whole = await attempt(memoryStore())
    for (const epochs of [1, 2, 3, 5]) {
      const store = memoryStore()
      await expect(attempt(store, epochs)).rejects.toThrow('the power went')
      expect(await attempt(store), `stopped after ${epochs}`).toEqual(whole)
    }
    const store = memoryStore()
    await attempt(store)
    await expect(fitStage(fresh(), data, { epochs: 4, classes: 10 }, { store, stage: 'tune' }))
      .rejects.toThrow(/stage 'tune': its state was written with epochs 3, this run has 4/)
  }, slow)

  test('a state of another network, or of as many other images, is refused', async () => {
    const store = memoryStore(), data = await open(20), stage = { store, stage: 'tune' }
    const options = { epochs: 1, batch: 10, classes: 10 }
    await fitStage(fresh(), data, options, stage)
    await expect(fitStage(fresh(4), data, options, stage)).rejects.toThrow(
      /stage 'tune': its state is of another network/,
    )
    const others = await openDigits(20, 39)
    await expect(fitStage(fresh(), others, options, stage)).rejects.toThrow(/its state is of other images/)
    const model = fresh()
    expect((await fitStage(model, data, options, stage)).epoch).toBe(1)
    const recipe = { weights: new Map([['a', 1]]) }, another = { store: memoryStore(), stage: 'tune', recipe }
    await fitStage(fresh(), data, options, another)
    await expect(fitStage(fresh(), data, options, { ...another, recipe: { weights: new Map([['a', 2]]) } }))
      .rejects.toThrow(/with weights \[\["a",1\]\], this run has \[\["a",2\]\]/)
  }, slow)

  test('distillation by its formula, soft and hard', async () => {
    const rows = 5, classes = 7, temperature = 3
    const [student, teacher] = [1, 2].map((seed) => fillNormal(new Float32Array(rows * classes), seed, 'logits'))
    const [s, t] = [student, teacher].map((data) => tensor(data, [rows, classes]))
    const row = (data: Float32Array, i: number) => [...data.subarray(i * classes, (i + 1) * classes)]
    const probabilities = (logits: number[], at: number) => {
      const powers = logits.map((x) => Math.exp(x / at)), total = powers.reduce((a, b) => a + b)
      return powers.map((x) => x / total)
    }
    let soft = 0, hard = 0
    for (let i = 0; i < rows; i++) {
      const p = probabilities(row(teacher, i), temperature), q = probabilities(row(student, i), temperature)
      soft += p.reduce((all, each, c) => all + each * Math.log(each / q[c]), 0) * temperature ** 2 / rows
      const best = row(teacher, i).indexOf(Math.max(...row(teacher, i)))
      hard -= Math.log(probabilities(row(student, i), 1)[best]) / rows
    }
    const found = scope(() => [distilled(s, t, { temperature }), distilled(s, t, { kind: 'hard' })])
    expect(relativeError(await found[0].data(), [soft])).toBeLessThan(1e-4)
    expect(relativeError(await found[1].data(), [hard])).toBeLessThan(1e-4)
    disposeTree([s, t, found])
  })

  test('a student taught with alpha 1 comes to decide as its teacher does, whatever the labels say', async () => {
    const data = await open(100)
    const teacher = fresh(8)
    const student = fresh(5)
    const agree = async () => {
      const both: number[][] = []
      for await (const { images, shape } of data.batches({ size: 100 })) {
        for (const model of [teacher, student]) {
          const input = tensor(images, shape)
          const logits = scope(() => model.call(input))
          const all = [...await logits.data()]
          both.push(Array.from({ length: shape[0] }, (_, i) => {
            const row = all.slice(10 * i, 10 * i + 10)
            return row.indexOf(Math.max(...row))
          }))
          disposeTree([input, logits])
        }
      }
      return both[0].filter((each, i) => each === both[1][i]).length
    }
    const before = await agree(), frozen = await values(teacher)
    const distillation = { teacher, alpha: 1, temperature: 2 }
    await fit(student, data, { epochs: 30, batch: 20, rate: 0.01, classes: 10, distillation })
    expect(await agree()).toBeGreaterThan(Math.max(80, before + 20))
    expect(await values(teacher)).toEqual(frozen)
    disposeTree([teacher, student])
  }, slow)

  test('refused: a group nobody is in, nothing to train, two hooks of a name, an alpha beyond 1', async () => {
    const data = await open(20), model = fresh(), common = { epochs: 1, classes: 10 }
    const wrong: [object, RegExp][] = [
      [
        { groups: [{ name: 'masks', parameters: () => false }] },
        /fit: masks has no parameters; expected some of layers/,
      ],
      [{ groups: [{ frozen: true }] }, /all parameters are frozen/],
      [{ hooks: [{ name: 'a' }, { name: 'a' }] }, /two hooks are called 'a'/],
      [{ distillation: { teacher: model, alpha: 2 } }, /alpha from 0 to 1, got 2/],
      [{ distillation: { teacher: model, temperature: 0 } }, /temperature above 0, got 0/],
    ]
    for (const [options, message] of wrong) {
      const failure = await fit(model, data, { ...common, ...options }).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(InputError)
      expect((failure as Error).message).toMatch(message)
    }
    disposeTree(model)
  })
})

/** The type of what a loss is given follows the model and `extra`: this compiles. */
export const typed = (model: MLP, data: Dataset, row: Tensor) =>
  fit(model, data, {
    epochs: 1,
    classes: 10,
    extra: { row },
    loss: ({ layers }, { images }, { extra }) => mean(linear(images, mul(layers[0].weight, extra.row), null)),
  })

/** Images of one value per channel where batch norm stands, in memory. */
async function tiny(count: number, labels: (i: number) => number = (i) => i % 2): Promise<Dataset> {
  const all = await open(count)
  return {
    ...all,
    length: count,
    labels: Int32Array.from({ length: count }, (_, i) => labels(i)),
    async *batches(options) {
      for await (const batch of all.batches(options)) yield { ...batch, labels: batch.labels.map((_, i) => labels(i)) }
    },
  }
}

/** Digits to two logits through a batch norm over 1 x 1 maps. */
class Normed {
  first = tensor(Float32Array.from({ length: 4 * 784 }, (_, i) => Math.sin(i) / 28), [4, 784])
  norm = new BatchNorm(4)
  last = tensor(Float32Array.from({ length: 8 }, (_, i) => Math.cos(i)), [2, 4])
  call(images: Tensor, context: Context = {}): Tensor {
    const flat = reshape(images, { shape: [images.shape[0], 784] })
    const maps = reshape(linear(flat, this.first, null), { shape: [images.shape[0], 4, 1, 1] })
    return linear(reshape(this.norm.call(maps, context), { shape: [images.shape[0], 4] }), this.last, null)
  }
}

describeDevice('what cannot be trained on', () => {
  test('one value per channel is refused by the op, whatever axes there are', () => {
    const [gain, bias, mean, variance] = [1, 0, 0, 1].map((value) => tensor([value, value]))
    for (const shape of [[1, 2], [1, 2, 1], [1, 2, 1, 1]]) {
      const x = tensor(new Float32Array(2), shape)
      expect(() => batchNormTrain(x, gain, bias, mean, variance)).toThrow(
        /one value per channel, expected at least two/,
      )
    }
    for (const shape of [[2, 2], [1, 2, 1, 2]]) {
      expect(batchNormTrain(tensor(new Float32Array(4), shape), gain, bias, mean, variance).shape).toEqual(shape)
    }
  })

  test(
    'a last batch of one is left out and that is said; batches of one are refused; running statistics stay',
    async () => {
      const model = new Normed(), notes: string[] = []
      const options = { epochs: 2, classes: 2, rate: 0, onNote: (note: string) => notes.push(note) }
      const { steps } = await fit(model, await tiny(9), { ...options, batch: 4 })
      expect(steps).toHaveLength(4)
      expect(notes).toHaveLength(1)
      expect(notes[0]).toMatch(/last batch of each epoch is left out.*9 images in batches of 4/)
      expect((await fit(model, await tiny(8), { ...options, batch: 3 })).steps).toHaveLength(6)
      expect(notes).toHaveLength(1)
      const before = await values(model)
      await expect(fit(model, await tiny(4), { ...options, batch: 1 })).rejects.toThrow(/a batch of one image/)
      await expect(fit(model, await tiny(1), { ...options, batch: 4 })).rejects.toThrow(/of one image/)
      expect(await values(model)).toEqual(before)
      for (const variance of before.get('norm.variance')!) expect(variance).toBeGreaterThan(0)
      const perceptron = fresh() // without batch norm a batch of one is as good as another
      expect((await fit(perceptron, await open(5), { epochs: 1, batch: 4, classes: 10 })).steps).toHaveLength(2)
      disposeTree([model, perceptron])
    },
    slow,
  )

  test('labels that have no logit are refused with the number of classes', async () => {
    const model = new Normed()
    for (const wrong of [2, -1, 1000]) {
      const data = await tiny(8, (i) => i === 5 ? wrong : 0)
      await expect(fit(model, data, { epochs: 1, classes: 2, batch: 4 }))
        .rejects.toThrow(new RegExp(`image 5 has label ${wrong}, the network tells 2 classes apart`))
      await expect(evaluate(model, await tiny(8, (i) => i === 1 ? wrong : 0), { batch: 4 }))
        .rejects.toThrow(new RegExp(`image 1 has label ${wrong}, the network tells 2 classes apart`))
    }
    const logits = tensor([[1, 2, 3]])
    expect(() => crossEntropy(logits, tensor([3], [1], 'i32'))).toThrow(/label 3 .*0 to 2 for 3 classes/)
    expect(() => crossEntropy(logits, tensor([-1], [1], 'i32'))).toThrow(/label -1/)
    const f = compile((labels: Tensor) => crossEntropy(logits, labels))
    expect(await f(tensor([2], [1], 'i32')).item()).toBeCloseTo(0.4076, 3)
    expect(() => f(tensor([3], [1], 'i32'))).toThrow(/argument 0 holds label 3; expected labels 0 to 2/)
    f.clear()
    disposeTree(model)
  }, slow)

  test('evaluate says in which layer and op a bad value appeared first', async () => {
    const data = await tiny(6)
    const damaged = new Normed()
    const overflowing = new Normed()
    damaged.norm.gain.write(Float32Array.of(1, NaN, 1, 1))
    await expect(evaluate(damaged, data, { batch: 4 })).rejects.toThrow(
      /image 0: .* 'norm.gain' holds NaN at element 1/,
    )
    overflowing.norm.gain.write(Float32Array.of(3e38, 3e38, 3e38, 3e38))
    overflowing.last.write(new Float32Array(8).fill(3e38))
    await expect(evaluate(overflowing, data, { batch: 4 }))
      .rejects.toThrow(/the first bad value is .*, from '(linear|batch-norm)'.*layer of '(last|norm\.\w+)'/)
    disposeTree([damaged, overflowing])
  }, slow)
})

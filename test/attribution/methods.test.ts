// Attribution methods without rules, read-outs and their aggregation, depth groups.
import { expect, test } from 'vitest'
import { resnet18, VGG, vitBase } from '../../models/index.ts'
import { plans } from '../../models/vgg.ts'
import { rulesFor, on } from '../../src/attribution/composite.ts'
import { type Group, Network } from '../../src/attribution/network.ts'
import { attnLRP, boxOf, compositeNames, compositeOf, cpLRP } from '../../src/attribution/composites.ts'
import { attentionRollout, attributionMethodNames, attributionMethodOf, gradient, gradientTimesInput,
  integratedGradients, lrp, taylor } from '../../src/attribution/methods.ts'
import { type Aggregation, attribute, type AttributionMethod, oneHot, pathsOf, type Reading,
  scoreUnits } from '../../src/attribution/relevance.ts'
import { gatesOf } from '../../src/nn/gates.ts'
import { epsilon } from '../../src/attribution/rules.ts'
import { crossEntropy, disposeTree, Gate, linear, reshape, scope, tensor, type Tensor, trace,
  valueAndGrad } from '../../src/index.ts'
import { withoutDevice } from '../../src/core/tensor.ts'
import type { Model } from '../../src/nn/model.ts'
import { opNames } from '../../src/core/op.ts'
import { type Role, roles } from '../../src/core/roles.ts'
import type { AnyOp } from '../../src/core/tape.ts'
import { describeDevice } from '../support/device.ts'
import { relativeError } from '../reference/nd.ts'
import { loadGolden } from '../support/attribution-goldens.ts'

const total = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0)
const free = ({ logits, input, sites }: Reading) => {
  disposeTree([logits, input, [...sites.values()]])
}

describeDevice('attribution methods', () => {
  test('gradient, gradient x input and Taylor are what the tape says', async () => {
    const { model, images } = loadGolden('deit_mini')
    const [count] = images.shape,
      classes = Int32Array.from({ length: count }, (_, i) => i % 10),
      targets = oneHot(classes, 10)
    const logitSum = (x: Tensor) =>
      reshape(linear(reshape(model.call(x), { shape: [1, -1] }), targets.view([1, targets.size]), null), { shape: [] })
    const [, grad] = valueAndGrad((x: Tensor) => logitSum(x))(images)
    const labels = tensor(classes)
    const [, lossGrad] = valueAndGrad((x: Tensor) => crossEntropy(model.call(x), labels))(images)
    const pixels = await images.data()
    const wanted = await grad!.data()
    const byLoss = await lossGrad!.data()
    const read = async (method: AttributionMethod) => {
      const reading = method(model, images, targets)
      const values = await reading.input.data()
      free(reading)
      return values
    }
    expect(relativeError(await read(gradient), wanted)).toBeLessThan(1e-5)
    expect(relativeError(await read(gradientTimesInput), wanted.map((g, i) => g * pixels[i]))).toBeLessThan(1e-5)
    expect(relativeError(await read(taylor), byLoss.map((g, i) => g * pixels[i] * count))).toBeLessThan(1e-4)
    disposeTree([model, images, targets, labels, grad, lossGrad])
  })

  test('integrated gradients add up to the change of the logit, at the input and at a gate', async () => {
    const { model, images } = loadGolden('deit_mini')
    const [count] = images.shape, targets = oneHot(new Int32Array(count).fill(3), 10)
    const black = tensor(new Float32Array(images.size), images.shape)
    const at = async (x: Tensor) => {
      const y = scope(() => model.call(x)), values = await y.data()
      y.dispose()
      return Array.from({ length: count }, (_, i) => values[i * 10 + 3])
    }
    const change = total(await at(images)) - total(await at(black))
    const reading = integratedGradients({ steps: 30 })(model, images, targets, { gates: true })
    expect(total(await reading.input.data())).toBeCloseTo(change, 2)
    expect(total(await reading.sites.get('stream')!.data())).toBeCloseTo(change, 2) // all goes through the stream
    const mean = integratedGradients({ steps: 3, kind: 'averaged' })(model, images, targets, { gates: true })
    const parts = await Promise.all([1, 2, 3].map(async (step) => {
      const scaled = tensor(Float32Array.from(await images.data(), (value) => value * step / 3), images.shape)
      const one = gradient(model, scaled, targets, { gates: true })
      const values = [await one.input.data(), await one.sites.get('blocks.1.mlp.hidden')!.data()]
      free(one)
      scaled.dispose()
      return values
    }))
    for (const [i, tensorRead] of [mean.input, mean.sites.get('blocks.1.mlp.hidden')!].entries()) {
      expect(
        relativeError(
          await tensorRead.data(),
          parts[0][i].map((value, j) => (value + parts[1][i][j] + parts[2][i][j]) / 3),
        ),
      ).toBeLessThan(1e-5)
    }
    free(reading)
    free(mean)
    disposeTree([model, images, targets, black])
  })

  test('attention rollout of even attention is known in closed form', async () => {
    const { model, images } = loadGolden('deit_mini')
    for (const block of (model as unknown as { blocks: { attention: Record<string, Tensor> }[] }).blocks) {
      for (const name of ['query', 'queryBias']) {
        block.attention[name].write(new Float32Array(block.attention[name].size))
      }
    }
    const targets = oneHot(new Int32Array(images.shape[0]), 10)
    const reading = attentionRollout(model, images, targets)
    const values = await reading.input.data(), patches = 64, pixelsOfPatch = 3 * 16
    // Two layers of (J / N + I) / 2 give (3 J / N + I) / 4.
    for (const value of values) expect(value * pixelsOfPatch).toBeCloseTo(0.75 / (patches + 1), 6)
    expect(() => attentionRollout(model, images, targets, { gates: true })).toThrow('no units')
    const swin = loadGolden('tv_swin_mini_pad')
    expect(() => attentionRollout(swin.model, swin.images, targets)).toThrow('as a ViT has it')
    free(reading)
    disposeTree([model, images, targets, swin.model, swin.images])
  })

  test('heads at the softmax are sums over channels at their gate: half under AttnLRP, all under CP-LRP', async () => {
    const { model, images } = loadGolden('deit_mini')
    const targets = oneHot(new Int32Array(images.shape[0]).fill(1), 10)
    for (
      const [composite, part] of [[attnLRP, 0.5], [cpLRP, 1], [
        compositeOf('pxp:epsilon,epsilon,epsilon,epsilon,z-plus'),
        0.5,
      ]] as const
    ) {
      const reading = lrp(composite)(model, images, targets, { gates: true, softmax: true, absolute: true })
      for (const block of [0, 1]) {
        const heads = await reading.sites.get(`blocks.${block}.attention.heads`)!.data()
        const softmax = await reading.sites.get(`blocks.${block}.attention.softmax`)!.data()
        expect(relativeError(softmax, heads.map((value) => value * part))).toBeLessThan(1e-5)
      }
      free(reading)
    }
    disposeTree([model, images, targets])
  })

  test('reading keeps no memory', async () => {
    const { model, images } = loadGolden('flatten_swin_mini')
    const targets = oneHot(new Int32Array(images.shape[0]), 10)
    const { gpu } = await import('../../src/index.ts')
    const used: number[] = []
    for (let i = 0; i < 3; i++) {
      free(lrp(attnLRP)(model, images, targets, { gates: true, softmax: true }))
      free(integratedGradients({ steps: 2 })(model, images, targets, { gates: true }))
      used.push(gpu().pool.memory.live)
    }
    expect(used[2]).toBe(used[0])
    disposeTree([model, images, targets])
  })

  test('composites name ops and roles that exist', async () => {
    const exported: unknown[] = Object.values(await import('../../src/index.ts'))
    const known = exported.flatMap((value) => typeof value === 'function' && 'op' in value ? [value.op as AnyOp] : [])
    const names = known.map(({ name }) => name)
    for (const name of [...compositeNames, 'pxp:z-plus,gamma,epsilon,alpha2-beta1,z-plus-bias']) {
      for (const { ops } of compositeOf(name)) {
        expect(ops.filter((each) => typeof each === 'string' && each !== '*' && !names.includes(each)), name)
          .toEqual([])
      }
    }
    for (const role of roles) expect(known.some((each) => each.is(role)), role).toBe(true)
    for (const name of opNames()) expect(name).toMatch(/^[a-z0-9]+([-+][a-z0-9]+)*$/)
    expect(() => on('layerNorm', epsilon())).toThrow(/no op is called 'layerNorm'; expected .*layer-norm, /)
    expect(() => on(['linear', { role: 'pooling' as Role }], epsilon())).toThrow(/no op has the role 'pooling'.*dense/)
  })

  test('names: every attribution method is found, an unknown one is refused with the list', () => {
    for (const name of attributionMethodNames) expect(attributionMethodOf(name)).toBeTypeOf('function')
    expect(() => attributionMethodOf('lime')).toThrow('gradient-x-input')
    expect(() => attributionMethodOf('pxp:epsilon,epsilon')).toThrow('expected')
    expect(boxOf({ mean: [0.5], std: [0.25], channels: 1 })).toEqual({ low: [-2], high: [2] })
  })
})

describeDevice('aggregation', () => {
  const images: number[][][] = [[[0.5, -0.2, 0.05], [0.3, -0.4]], [[0.1, 0.2, -0.01], [0.3, 0.38]]]

  for (
    const [aggregation, scores, order] of [
      ['signed', [0.3, 0, 0.02, 0.3, -0.01], [4, 1, 2, 0, 3]],
      ['abs-of-mean', [0.3, 0, 0.02, 0.3, 0.01], [1, 4, 2, 0, 3]],
      ['mean-of-abs', [0.3, 0.2, 0.03, 0.3, 0.39], [2, 1, 0, 3, 4]],
    ] as [Aggregation, number[], number[]][]
  ) {
    test(`the worked example of two images, ${aggregation}`, async () => {
      let at = 0
      const method: AttributionMethod = (_model, batch, _targets, request) => {
        const row = images[at++].map((unit) => unit.map((value) => request!.absolute ? Math.abs(value) : value))
        return {
          logits: tensor([1]),
          input: tensor([1], batch.shape),
          sites: new Map(row.map((values, i) => [`L${i + 1}`, tensor([values])])),
        }
      }
      const batches = images.map(() => ({ images: tensor([[1]]), targets: tensor([[1]]) }))
      const found = await scoreUnits({ call: (x: Tensor) => x }, batches, method, { aggregation })
      const flat = [...found.get('L1')!, ...found.get('L2')!]
      flat.forEach((value, i) => {
        expect(value).toBeCloseTo(scores[i], 6)
      })
      expect(flat.map((_, i) => i).sort((a, b) => Math.round(1e6 * (flat[a] - flat[b])) || a - b)).toEqual(order)
    })
  }

  test('heads: sum over the inner axis, absolute per token, sum over tokens', async () => {
    const gate = new Gate([-2])
    const weight = tensor([[1, 1, 1, 1, 1, 1, 1, 1]])
    const model: Model = { call: (x) => linear(reshape(gate.call(x), { shape: [1, 8] }), weight, null) }
    const held = Object.assign(model, { gate })
    // [batch, query, head, key]; the logit is 0.2, so relevances are five times these values.
    const x = tensor([[[[0.2, -0.1], [-0.3, 0.1]], [[0.05, 0.05], [0.1, 0.1]]]]), targets = oneHot([0], 1)
    for (const [absolute, want] of [[true, [0.2, 0.4]], [false, [0.2, 0]]] as const) {
      const walk = { seed: 'unit', composite: [on('linear', epsilon())], read: 'relevance' } as const
      const reading = attribute(held, x, targets, walk, { gates: true, absolute })
      ;[...await reading.sites.get('gate')!.data()].forEach((value, i) => {
        expect(value).toBeCloseTo(5 * want[i], 4)
      })
      free(reading)
    }
  })

  test('depth groups of VGG-16, ResNet-18 and ViT-B as published', () => {
    const groups = (make: () => Model, size = 224) => {
      const model = withoutDevice(make), { calls } = trace((input) => model.call(input([1, 3, size, size])))
      const network = new Network(calls, [], pathsOf(model).leaves)
      const found: Record<Group, string[]> = { low: [], middle: [], high: [], classifier: [] }
      for (const call of calls) {
        if (call.op.weight !== null) found[network.groupOf(call)!].push(network.pathOf(call)!)
      }
      return found
    }
    const vgg = groups(() => new VGG({ plan: plans.vgg16 }))
    expect(Object.values(vgg).map((paths) => paths.length)).toEqual([4, 5, 4, 3])
    const resnet = groups(() => resnet18())
    expect(new Set(resnet.low.map((path) => path.split('.').slice(0, 2).join('.')))).toEqual(
      new Set(['stem.conv', 'stages.0']),
    )
    expect(new Set(resnet.middle.map((path) => path.split('.')[1]))).toEqual(new Set(['1', '2']))
    expect(resnet.classifier).toEqual(['head.weight'])
    const vit = groups(() => vitBase())
    expect([...new Set(vit.low.map((path) => path.split('.')[1]))]).toEqual(['projection', '0', '1', '2'])
    expect([...new Set(vit.high.map((path) => path.split('.')[1]))]).toEqual(['9', '10', '11'])
    expect(vit.classifier).toEqual(['head.weight'])
  })

  test('places: paths with stars, depth and the first layer', () => {
    const model = withoutDevice(() => vitBase({ depth: 2 })),
      { calls } = trace((input) => model.call(input([1, 3, 224, 224])))
    const network = new Network(calls, [], pathsOf(model).leaves)
    const queries = epsilon()
    const shallow = epsilon()
    const rule = rulesFor(
      [on('linear', 'blocks.*.attention.query', queries), on('*', { depth: [0, 0.1] }, shallow)],
      network,
    )
    const at = (path: string) =>
      rule(calls.find((call) => call.op.name in { linear: 0, conv2d: 0 } && network.pathOf(call) === path)!)
    expect(network.isAt(calls.find((call) => network.pathOf(call) === 'blocks.1.attention.query')!, 'blocks.*.query'))
      .toBe(true)
    expect(network.isAt(calls.find((call) => network.pathOf(call) === 'blocks.1.attention.key')!, 'blocks.*.query'))
      .toBe(false)
    expect(network.isAt(calls.find(({ op }) => op.name === 'conv2d')!, { depth: [0, 0.1] })).toBe(true)
    expect(at('patches.projection.weight')).toBeTypeOf('function')
    expect(gatesOf(model).map(([path]) => path)).toContain('blocks.1.attention.heads')
  })
})

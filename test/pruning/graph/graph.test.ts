// The graph of heads: every worked number of the paper's file through real attentions, the closed form of symmetric
// graphs, walks that swing, and correlations against plain loops on a ViT, a Swin and focused attention.
import { expect, test } from 'vitest'
import { type Tensor, tensor } from '../../../src/core/tensor.ts'
import { record } from '../../../src/core/tape.ts'
import { disposeTree } from '../../../src/core/tree.ts'
import { Gate } from '../../../src/nn/index.ts'
import type { Model } from '../../../src/nn/model.ts'
import { attention, attentionMaps } from '../../../src/ops/attention/attention.ts'
import { scale } from '../../../src/ops/elementwise.ts'
import { linear } from '../../../src/ops/matmul/linear.ts'
import { slice } from '../../../src/ops/permute.ts'
import { mean } from '../../../src/ops/reduce.ts'
import { reshape } from '../../../src/ops/reshape.ts'
import { cosinesOf, headCorrelations } from '../../../src/pruning/graph/correlation.ts'
import { headGraphs } from '../../../src/pruning/graph/head-rank.ts'
import { stationary, transition } from '../../../src/pruning/graph/markov.ts'
import { methodOf } from '../../../src/pruning/methods/index.ts'
import { prune } from '../../../src/pruning/prune.ts'
import { score } from '../../../src/pruning/steps.ts'
import { units } from '../../../src/pruning/units/units.ts'
import { describeDevice } from '../../support/device.ts'
import { random } from '../../reference/nd.ts'
import { digitSwin, digitViT, openDigits } from '../../support/digits.ts'

const maps = [.9, .1, .2, .8, .8, .2, .3, .7, .1, .9, .9, .1]
const S = [1, .989254, .280534, .989254, 1, .417392, .280534, .417392, 1]
const near = (found: ArrayLike<number>, expected: ArrayLike<number>, digits = 6) => {
  expect(found).toHaveLength(expected.length)
  for (let i = 0; i < expected.length; i++) expect(found[i], `entry ${i}`).toBeCloseTo(expected[i], digits)
}
const images = (count: number) => openDigits(0, count - 1)

/** One layer whose maps are the example's for any image: queries are zero, and the bias of the logits is log A. */
class Example {
  bias = tensor(Float32Array.from(maps, Math.log), [3, 2, 2])
  value = tensor(Float32Array.from(random(1, [3, 2, 8]).data), [3, 2, 8])
  out = tensor(Float32Array.from(random(2, [10, 3, 2]).data), [10, 3, 2])
  heads = new Gate([-2])

  call(x: Tensor): Tensor {
    const tokens = reshape(x, { shape: [x.shape[0], -1, 8] })
    const two = slice(tokens, { starts: [0, 20, 0], stops: [x.shape[0], 22, 8] })
    const v = linear(two, this.value, null), q = scale(v, { by: 0 })
    const context = this.heads.call(attention(q, q, v, this.bias, null, { scale: 1 }))
    return mean(linear(context, this.out, null, { over: 2 }), { axes: [1] })
  }
}

const vit = (attention: 'softmax' | 'focused' = 'softmax') =>
  digitViT({ attention, classToken: attention === 'softmax' })

/** Mean cosine of the heads of every softmax attention, in plain loops over what the network recorded. */
async function plainCorrelations(model: Model, input: Tensor): Promise<number[][]> {
  const { calls } = record(() => model.call(input), [], true), found: number[][] = []
  for (const { op, args: [q, k, , bias, mask], attrs } of calls) {
    if (op !== attention.op) continue
    const [B, N, H, D] = q!.shape, M = k!.shape[1], G = mask ? mask.shape[0] : 1
    const [Q, K, bias0, mask0] = [await q!.data(), await k!.data(), await bias?.data(), await mask?.data()]
    const total = Array.from({ length: H * H }, () => 0)
    for (let b = 0; b < B; b++) {
      const heads = Array.from({ length: H }, (_, h) =>
        Array.from({ length: N }, (_, n) => {
          const logits = Array.from({ length: M }, (_, m) => {
            let dot = 0
            for (let d = 0; d < D; d++) dot += Q[((b * N + n) * H + h) * D + d] * K[((b * M + m) * H + h) * D + d]
            return (attrs as { scale: number }).scale * dot + (bias0 ? bias0[(h * N + n) * M + m] : 0)
              + (mask0 ? mask0[((b % G) * N + n) * M + m] : 0)
          })
          const top = Math.max(...logits), weights = logits.map((each) => Math.exp(each - top))
          const all = weights.reduce((a, c) => a + c)
          return weights.map((each) => each / all)
        }).flat())
      const dot = (x: number[], y: number[]) => x.reduce((sum, each, i) => sum + each * y[i], 0)
      heads.forEach((x, i) => {
        heads.forEach((y, j) => {
          total[i * H + j] += dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)) / B
        })
      })
    }
    found.push(total)
  }
  return found
}

describeDevice('the graph of heads', (adapter) => {
  test('maps of a real attention, correlations and ranks are those of the worked example', async () => {
    const model = new Example(), data = await images(5)
    const q = tensor(new Float32Array(12), [1, 2, 3, 2])
    const found = attentionMaps(q, q, model.bias, null, { scale: 1 })
    near(await found.data(), maps)
    near(await cosinesOf(found).data(), S)
    const own = units(model, [1, 1, 28, 28])
    expect(own.map(({ name, size, exact }) => [name, size, exact])).toEqual([['heads', 3, true]])
    const graph = await headCorrelations({ model, units: own, images: data, batch: 2, source: 'maps' })
    near(graph.get('heads')!.values, S)
    const rank = async (
      diagonal: boolean,
      damping: number,
    ) => [...(await headGraphs(graph, { direction: 'central-first', diagonal, damping }))[0].importance]
    near((await rank(true, 1)).map((each) => each / 3), [.356081, .377551, .266368])
    near((await rank(true, 0.85)).map((each) => each / 3), [.349155, .368493, .282351])
    near((await rank(false, 1)).map((each) => each / 3), [.376305, .416863, .206832])
    near((await rank(false, 0.85)).map((each) => each / 3), [.369788, .407892, .222321])
    // Through the method: two of three heads stay, which depends on the direction.
    for (const [direction, keep] of [['central-first', [1, 1, 0]], ['distinct-first', [1, 0, 1]]] as const) {
      const scores = await score(model, own, { method: `graph:direction=${direction}`, data, kinds: ['heads'] })
      const least = [...scores.get('heads')!].indexOf(Math.min(...scores.get('heads')!))
      expect(keep[least], direction).toBe(0)
      const { plan } = await prune(model, {
        method: 'graph',
        options: { direction },
        data,
        keep: 0.66,
        multipleOf: 1,
        units: ['heads'],
      })
      expect([...plan.get('heads')!]).toEqual(keep)
    }
    disposeTree([model, q, found])
  })

  test('rows of P; a symmetric graph settles at its degrees, one of two halves does not swing', async () => {
    const found = tensor(Float32Array.from(maps), [1, 3, 4]), edges = cosinesOf(found)
    near((await transition(edges).data()).slice(0, 3), [.440570, .435836, .123595])
    near((await transition(edges, { diagonal: false }).data()).slice(0, 3), [0, .779070, .220930])
    const layers = 3, heads = 5, values = new Float32Array(layers * heads * heads)
    for (let layer = 0; layer < layers; layer++) {
      const { data } = random(5 + layer, [heads, heads])
      for (let i = 0; i < heads; i++) {
        for (let j = 0; j < heads; j++) {
          values[(layer * heads + i) * heads + j] = Math.abs(data[i * heads + j] * data[j * heads + i])
        }
      }
    }
    const pi = await stationary(transition(tensor(values, [layers, heads, heads])))
    for (let layer = 0; layer < layers; layer++) {
      const rows = Array.from({ length: heads }, (_, i) => {
        const at = (layer * heads + i) * heads
        return values.slice(at, at + heads).reduce((a, b) => a + b)
      })
      const all = rows.reduce((a, b) => a + b)
      near(pi.slice(layer * heads, (layer + 1) * heads), rows.map((row) => row / all), 5)
    }
    // A star: from the leaves to its middle and back.
    near(await stationary(transition(tensor([0, 1, 0, 1, 0, 1, 0, 1, 0], [1, 3, 3]))), [.25, .5, .25], 5)
    // A head that is like none is gone to from nowhere but itself; one alone is all there is.
    near(await stationary(transition(tensor([1, 1, 0, 1, 1, 0, 0, 0, 0], [1, 3, 3]))), [.5, .5, 0], 4)
    near(await stationary(transition(tensor([1], [1, 1, 1]), { diagonal: false })), [1])
  })

  if (adapter !== 'cpu') return // the rest is the same work on larger networks

  test.each<[string, () => Model]>([['a ViT', vit], ['a Swin, its windows with bias and mask', digitSwin]])(
    'correlations of %s against plain loops',
    async (_, make) => {
      const model = make(), data = await images(6), found = units(model, [1, 1, 28, 28])
      const graph = await headCorrelations({ model, units: found, images: data, batch: 6, source: 'maps' })
      const { value } = await data.batches({ size: 6 }).next() as { value: { images: Float32Array, shape: number[] } }
      const expected = await plainCorrelations(model, tensor(value.images, value.shape))
      expect(graph.size).toBe(2)
      expect([...graph.keys()].every((name) => name.endsWith('heads'))).toBe(true)
      for (const [i, { values }] of [...graph.values()].entries()) near(values, expected[i], 5)
      // In batches of another size: the mean is over images, not over batches.
      const again = await headCorrelations({ model, units: found, images: data, batch: 4, source: 'maps' })
      for (const [name, { values }] of again) near(values, graph.get(name)!.values, 5)
      disposeTree(model)
    },
  )

  test('focused attention has maps too; outputs correlate by absolute cosine', async () => {
    const model = vit('focused'), data = await images(4), found = units(model, [1, 1, 28, 28])
    for (const source of ['maps', 'outputs'] as const) {
      const graph = await headCorrelations({ model, units: found, images: data, batch: 4, source })
      expect(graph.size).toBe(2)
      for (const { values } of graph.values()) {
        for (let i = 0; i < 4; i++) {
          expect(values[5 * i]).toBeCloseTo(1, 5)
          for (let j = 0; j < 4; j++) expect(values[4 * i + j]).toBeCloseTo(values[4 * j + i], 5)
        }
        expect(values.every((value) => value >= 0 && value < 1.00001)).toBe(true)
      }
    }
    const opposite = tensor([1, 2, -1, -2, 0, 0], [1, 3, 2])
    near(await cosinesOf(opposite).data(), [1, -1, 0, -1, 1, 0, 0, 0, 0])
    near(await cosinesOf(opposite, true).data(), [1, 1, 0, 1, 1, 0, 0, 0, 0])
    disposeTree([model, opposite])
  })

  test('neurons by another criterion, all with a mean of 1; options that cannot be are refused', async () => {
    const model = vit(), data = await images(4), found = units(model, [1, 1, 28, 28])
    for (const others of ['magnitude', 'taylor']) {
      const scores = await score(model, found, { method: `graph:others=${others}/damping=0.9`, data })
      for (const [name, values] of scores) {
        expect(values.reduce((a, b) => a + b) / values.length, name).toBeCloseTo(1, 4)
      }
      expect(scores.size).toBe(4)
    }
    await expect(score(model, found, { method: 'graph', data, kinds: ['neurons'] })).rejects.toThrow(/ranks heads/)
    expect(() => methodOf('graph:others=median')).toThrow(/--set others="median": expected .*magnitude/)
    expect(() => methodOf('graph:dumping=1')).toThrow(/expected <option>=<value> with direction, .*'dumping=1'/)
    expect(() => methodOf('magnitude:a=1')).toThrow(/method 'magnitude:a=1': expected pxp/)
    expect(methodOf('xpruner:scores=range').options!.scores.default).toBe('range')
    disposeTree(model)
  })
})

// Every criterion against what it says: weights and activations by plain loops, Taylor against PyTorch's gradients of
// the masks.
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { disposeTree, leaves, record } from '../../src/index.ts'
import type { Batch, Dataset } from '../../src/data/datasets.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { pathsOf } from '../../src/attribution/relevance.ts'
import { criterionNames, criterionOf, methodOf } from '../../src/pruning/methods/index.ts'
import type { Methods } from '../../src/pruning/methods/method.ts'
import type { Criteria, ImportanceCriterion, Scoring } from '../../src/pruning/scores/criterion.ts'
import { scope } from '../../src/core/transform.ts'
import { unscoped } from '../../src/core/tensor.ts'
import { type Unit, units } from '../../src/pruning/units/units.ts'
import { describeDevice } from '../support/device.ts'
import { golden } from '../support/golden.ts'
import { goldenInput, loadModel, modelCases } from '../support/model-cases.ts'
import { relativeError } from '../reference/nd.ts'

/** The golden's images as a data set in memory. */
async function held(name: string) {
  const file = golden(name)
  const image = goldenInput(file)
  const labels = Int32Array.from(file.get('labels').data)
  const values = await image.data() as Float32Array, [count, ...shape] = image.shape as [number, number, number, number]
  image.dispose()
  const size = values.length / count
  const data: Dataset = {
    name,
    length: count,
    labels,
    preprocessing: defaultPreprocessing('cnn', 32, 3),
    inputShape: () => Promise.resolve(shape),
    async *batches({ size: most }): AsyncGenerator<Batch> {
      for (let at = 0; at < count; at += most) {
        const n = Math.min(most, count - at)
        yield {
          images: values.slice(at * size, (at + n) * size),
          shape: [n, ...shape],
          labels: labels.subarray(at, at + n),
          indices: Int32Array.from({ length: n }, (_, i) => at + i),
        }
        await Promise.resolve()
      }
    },
  }
  return { file, data, count, shape }
}

async function setUp(name: string) {
  const { file, data, count, shape } = await held(name)
  const model = loadModel(modelCases[name], file)
  const found = units(model, [1, ...shape]).filter(({ prunable, exact }) => prunable === true && exact === true)
  const scoring: Scoring = {
    model,
    units: found,
    references: data,
    classes: 10,
    batch: 3,
    seed: 7,
    aggregation: 'signed',
  }
  return {
    file,
    count,
    model,
    found,
    scoring,
    data,
    shape,
    by: (score: ImportanceCriterion | string, more: Partial<Scoring> = {}) =>
      (typeof score === 'string' ? criterionOf(score) : score).score({ ...scoring, ...more }),
  }
}

const small = ['deit_mini', 'cifar_resnet8_w8'], others = ['swin_ms_mini', 'flatten_swin_mini', 'tv_vgg11_bn_d16']

describeDevice('scores', (adapter) => {
  // A software driver takes minutes for the shapes of five families.
  describe.each(adapter === 'cpu' ? [...small, ...others] : small)('%s', (name) => {
    test('every criterion gives a finite vector per unit; images are counted', async () => {
      const { found, by, model } = await setUp(name)
      for (const criterion of [...criterionNames, 'pxp:cp-lrp', 'pxp:gamma/epsilon/z-plus/alpha2-beta1']) {
        if (criterion.endsWith('-gradients')) continue // twenty passes; in attribution/methods.test.ts
        if (criterion === 'graph' && !found.some(({ kind }) => kind === 'heads')) {
          await expect(by(criterion)).rejects.toThrow('graph: ranks heads, and none may go')
          continue
        }
        const scores = await by(criterion, { aggregation: 'mean-of-abs' })
        expect([...scores.keys()]).toEqual(found.map((unit) => unit.name))
        for (const { name: path, size } of found) {
          const values = scores.get(path)!
          expect(values).toHaveLength(size)
          expect(values.every(Number.isFinite), `${criterion} ${path}`).toBe(true)
        }
        const all = found.flatMap((unit) => [...scores.get(unit.name)!])
        expect(new Set(all).size, criterion).toBeGreaterThan(all.length / 4)
      }
      disposeTree(model)
    }, 240_000)

    if (!name.startsWith('tv_')) {
      test('Taylor, signed, is the gradient of the mask', async () => {
        const { file, by, model, found, count } = await setUp(name)
        const scores = await by('taylor')
        const { gate = (unit: string) => unit } = modelCases[name]
        const goldens = file.group('eval.maskgrad.')
        expect(Object.keys(goldens).length).toBeGreaterThan(0)
        for (const [unit, { data }] of Object.entries(goldens)) {
          const mine = found.find((each) => each.name === gate(unit))
          if (!mine) continue
          // The golden's loss is a mean over images, as the score is a mean over images.
          expect(relativeError(Float32Array.from(scores.get(mine.name)!), data), unit).toBeLessThan(1e-4)
        }
        expect(count).toBeGreaterThan(1)
        disposeTree(model)
      })
    }

    test('magnitude is the mean of |w|, or the root of that of its square, over weights of an element', async () => {
      const { by, model, found } = await setUp(name)
      const host = new Map<string, { shape: readonly number[], data: Float32Array }>()
      for (const [path, leaf] of leaves(model)) {
        host.set(path, { shape: leaf.shape, data: await leaf.data() as Float32Array })
      }
      const l1 = await by('magnitude'), l2 = await by('magnitude-l2')
      for (const unit of found) {
        const [sum, square, n] = elementwise(unit, host)
        expect(relativeError(l1.get(unit.name)!, sum.map((value, i) => value / n[i])), unit.name).toBeLessThan(1e-6)
        expect(relativeError(l2.get(unit.name)!, square.map((value, i) => Math.sqrt(value / n[i]))), unit.name)
          .toBeLessThan(1e-6)
      }
      disposeTree(model)
    })

    test('activations are means over images and positions', async () => {
      const { by, model, found, data } = await setUp(name)
      const mean = await by('activation'), positive = await by('apoz')
      for await (const { images, shape } of data.batches({ size: 100 })) {
        const gates = await activations(model, images, shape)
        for (const { name: path, size, gates: members } of found) {
          if (members.length > 1) continue
          const { values, axes, sizes } = gates.get(members[0].path)!
          const sums = new Float64Array(size), above = new Float64Array(size), count = values.length / size
          values.forEach((value, i) => {
            const at = unitIndex(i, sizes, axes)
            sums[at] += Math.abs(value) / count
            above[at] += Number(value > 0) / count
          })
          expect(relativeError(mean.get(path)!, sums), path).toBeLessThan(1e-5)
          expect(relativeError(positive.get(path)!, above), path).toBeLessThan(1e-5)
        }
      }
      disposeTree(model)
    })
  })

  test('random scores follow the seed', async () => {
    const { by, model, found: [{ name }] } = await setUp('cifar_resnet8_w8')
    const [a, b, c] = [
      await by('random', { seed: 1 }),
      await by('random', { seed: 1 }),
      await by('random', { seed: 2 }),
    ]
    expect(a.get(name)).toEqual(b.get(name))
    expect(a.get(name)).not.toEqual(c.get(name))
    disposeTree(model)
  })
})

test('unknown criteria are refused with the names there are', () => {
  expect(() => criterionOf('best')).toThrow(/method 'best': expected pxp, yeom, magnitude/)
  expect(() => criterionOf('pxp:best')).toThrow(/composite 'best'/)
  expect(() => criterionOf('pxp:epsilon/epsilon')).toThrow(/expected/)
})

/** Sums of |w|, w^2 and counts by element, index by index. */
function elementwise(
  { size, shape: unitShape, members }: Unit,
  host: ReadonlyMap<string, { shape: readonly number[], data: Float32Array }>,
) {
  const sum = new Float64Array(size)
  const square = new Float64Array(size)
  const n = new Float64Array(size)
  const dim = unitShape.at(-1)!
  for (const { path, axis, element, outer } of members) {
    const { shape, data } = host.get(path)!
    if (shape.length < 2 || /positions|classToken/.test(path)) continue
    data.forEach((value, i) => {
      const index = shape.map((length, d) => Math.floor(i / shape.slice(d + 1).reduce((a, b) => a * b, 1)) % length)
      const heads = outer === null ? Array.from({ length: size / dim }, (_, head) => head) : [index[outer]]
      for (const head of heads) {
        const at = head * dim + element[index[axis]]
        if (element[index[axis]] < 0) continue
        sum[at] += Math.abs(value)
        square[at] += value ** 2
        n[at]++
      }
    })
  }
  return [sum, square, n] as const
}

async function activations(model: Scoring['model'], images: Float32Array, shape: readonly number[]) {
  const { tensor } = await import('../../src/index.ts')
  const { gates } = pathsOf(model)
  const found = new Map<string, { values: Float32Array, axes: readonly number[], sizes: readonly number[] }>()
  const x = tensor(images, shape)
  const outs = scope(() =>
    record(() => model.call(x), [x]).calls.flatMap(({ op, attrs, out }) => {
      const { at, axes } = attrs as { at?: object, axes: readonly number[] }
      return op.name === 'gate' && at ? [{ path: gates.get(at)!, axes, out: unscoped(() => out.view(out.shape)) }] : []
    })
  )
  for (const { path, axes, out } of outs) {
    found.set(path, { values: await out.data() as Float32Array, axes, sizes: out.shape })
  }
  disposeTree([x, outs.map(({ out }) => out)])
  return found
}

function unitIndex(i: number, sizes: readonly number[], axes: readonly number[]): number {
  return axes.reduce((at, axis) => {
    const d = axis + sizes.length
    return at * sizes[d] + Math.floor(i / sizes.slice(d + 1).reduce((a, b) => a * b, 1)) % sizes[d]
  }, 0)
}

test.each(['scores', 'methods'])(
  'the folder %s is the registry: every file is found, under its own names',
  async (folder) => {
    const plumbing = ['by-criterion.ts', 'criterion.ts', 'index.ts', 'method.ts', 'weights.ts']
    const at = new URL(`../../src/pruning/${folder}/`, import.meta.url)
    const files = readdirSync(at).filter((name) => !plumbing.includes(name))
    for (const file of files) {
      const { criteria, methods: learned } = await import(new URL(file, at).href) as {
        criteria?: Criteria,
        methods?: Methods,
      }
      const names = Object.keys(criteria ?? learned ?? {})
      expect(names.length, file).toBeGreaterThan(0)
      for (const name of names) expect(methodOf(name).summary).toBe((criteria ?? learned)![name].summary)
    }
  },
)

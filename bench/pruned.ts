// Pruned networks beside the dense one, taking turns: a sliced network must first compute what the masked one does.
// Scores are by weights, so that only sizes count. And what scoring an image by relevance costs, in forward passes.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { loadCheckpoint } from '../src/checkpoint/checkpoint.ts'
import { compile } from '../src/core/compile.ts'
import type { Model } from '../src/nn/model.ts'
import { packageFile } from '../src/files/package.ts'
import { lrp } from '../src/attribution/methods.ts'
import { attnLRP } from '../src/attribution/composites.ts'
import { oneHot } from '../src/attribution/relevance.ts'
import { costOf } from '../src/nn/macs.ts'
import { foldBatchNorm } from '../src/nn/fold.ts'
import { chooseUnits } from '../src/pruning/units/kinds.ts'
import { maskModel, unmaskModel } from '../src/pruning/plan/mask.ts'
import { magnitude } from '../src/pruning/scores/magnitude.ts'
import { onlyCuts, rank, withinBudget } from '../src/pruning/plan/select.ts'
import { hostWeights, type Plan, sliceModel } from '../src/pruning/plan/slice.ts'
import { planCost } from '../src/pruning/trial.ts'
import { units } from '../src/pruning/units/units.ts'
import { fillNormal } from '../src/base/random.ts'
import { type Tensor, tensor } from '../src/core/tensor.ts'
import { inference } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'
import { defaultRounds, measure, type MeasureOptions, type Row, type Subject } from './harness.ts'
import { meter } from './meter.ts'

/** Which cases. */
export interface PrunedOptions extends MeasureOptions {
  wanted: (name: string) => boolean
}

const shared = resolve(process.env.ESPALIER_SHARED ?? '../shared')
const networks = [
  { name: 'resnet20', file: packageFile('models/data/cifar10/resnet20.safetensors'), batch: 8, kinds: ['filters'] },
  {
    name: 'deit-tiny',
    file: `${shared}/data/weights/deit_tiny_patch16_224.safetensors`,
    batch: 8,
    kinds: ['heads', 'neurons', 'values', 'query-key'],
  },
]

const shares = [0.5, 0.25] as const

/** Dense against sliced to a half and a quarter of the multiply-adds, and scoring. */
export async function prunedRows(options: PrunedOptions): Promise<Row[]> {
  const rows: Row[] = []
  const jobs = networks.filter(({ file }) => existsSync(file)).flatMap(({ name }) => [
    ...options.wanted(`${name} pruned`) ? shares.map((share) => `${name} pruned to ${share}`) : [],
    ...options.wanted(`${name} scoring`) ? [`${name} scoring`] : [],
  ])
  const count = meter('bench pruned', jobs.length, options.rounds ?? defaultRounds, options.onProgress)
  const begin = (job: string) => ({ ...options, onProgress: count.begin(jobs.indexOf(job), job) })
  for (const { name, file, batch, kinds } of networks) {
    if (!jobs.some((job) => job.startsWith(`${name} `))) continue
    const { model, preprocessing: { crop, channels }, classCount } = await loadCheckpoint(file)
    const input: [number, number, number] = [channels, crop ?? 32, crop ?? 32], shape = [batch, ...input]
    const values = fillNormal(new Float32Array(shape.reduce((a, b) => a * b, 1)), 0, 'images')
    if (options.wanted(`${name} pruned`)) {
      const cutTo = await slicer(model, input, classCount, kinds)
      for (const share of shares) {
        const measured = begin(`${name} pruned to ${share}`)
        const { model: small, share: left, masked } = await cutTo(share), expected = await masked(values, batch)
        const subjects = [
          checkless(forwardOf('dense', model, values, shape), expected),
          forwardOf('sliced', small, values, shape),
        ]
        subjects[1].note = `${(100 * left).toFixed(1)} % of the multiply-adds`
        rows.push(
          ...await measure({
            suite: 'pruned',
            name: `${name} pruned`,
            shape: `batch=${batch} macs=${share}`,
            flops: 0,
            bytes: 0,
            expected,
            tolerance: 1e-4,
            subjects,
            baselines: ['dense'],
          }, measured),
        )
        disposeTree(small)
      }
    }
    if (options.wanted(`${name} scoring`)) {
      rows.push(...await scoring(name, model, values, shape, classCount, begin(`${name} scoring`)))
    }
    disposeTree(model)
  }
  return rows
}

/** A network cut to a share of its multiply-adds, and what the uncut one gives with as much masked. */
export interface Sliced {
  model: Model
  /** Of the multiply-adds, what is left. */
  share: number
  /** Logits of so many pictures by the masked network, which those of `model` must be. */
  masked(images: Float32Array, batch?: number): Promise<ArrayLike<number>>
}

/** Scores a network by its weights, then cuts it to any share of its multiply-adds. `kinds` says what may go. */
export async function slicer(
  model: Model,
  input: readonly [channels: number, height: number, width: number],
  classes: number,
  kinds: readonly string[] = ['heads', 'neurons', 'values', 'query-key'],
): Promise<(share: number) => Promise<Sliced>> {
  const found = units(model, [1, ...input])
  const chosen = chooseUnits(found, kinds)
  const weights = await hostWeights(model)
  const unread = { name: '', length: 0, labels: new Int32Array(), preprocessing: { crop: input[1] } } as never
  const scores = await magnitude('l2').score({
    model,
    units: chosen,
    references: unread,
    classes,
    batch: 1,
    seed: 0,
    aggregation: 'signed',
  })
  const ranking = rank(chosen, scores, { ranking: 'per-unit' }), dense = costOf(model, [...input]).macs
  return async (share) => {
    const cost = (plan: Plan) => planCost(model, found, plan, [...input]).macs
    const { plan } = withinBudget(ranking, cost, share * dense, 'multiply-adds')
    return {
      model: await sliceModel(model, [1, ...input], onlyCuts(plan), { found, weights }),
      share: cost(plan) / dense,
      async masked(images, batch = 1) {
        maskModel(model, found, plan)
        const subject = forwardOf('masked', model, images, [batch, ...input]), logits = await subject.run()
        subject.dispose!()
        unmaskModel(model)
        return logits
      },
    }
  }
}

/** One batch scored by relevance at all gates, as `prune` does it, beside one forward pass. */
async function scoring(
  name: string,
  model: Model,
  values: Float32Array,
  shape: readonly number[],
  classes: number,
  options: PrunedOptions,
): Promise<Row[]> {
  const folded = foldBatchNorm(model, shape)
  const plain = forwardOf('forward', model, values, shape)
  const expected = await plain.run()
  const criterion = lrp(attnLRP)
  const relevance: Subject = {
    impl: 'scoring',
    note: 'AttnLRP, read at every gate and softmax',
    run: async () => {
      const images = tensor(values, shape),
        targets = oneHot(Array.from({ length: shape[0] }, (_, i) => i % classes), classes)
      const { logits, input, sites } = criterion(folded, images, targets, {
        gates: true,
        softmax: true,
        absolute: true,
      })
      const found = await logits.data()
      for (const site of sites.values()) await site.data()
      disposeTree([logits, input, [...sites.values()], images, targets])
      return found
    },
  }
  const rows = await measure({
    suite: 'pruned',
    name: `${name} scoring`,
    shape: `batch=${shape[0]}`,
    flops: 0,
    bytes: 0,
    expected,
    tolerance: 1e-3,
    subjects: [plain, relevance],
  }, options)
  disposeTree(folded)
  return rows
}

/** The captured forward pass of a model as a candidate; `values` are its images, of `shape`. */
export function forwardOf(impl: string, model: Model, values: Float32Array, shape: readonly number[]): Subject {
  const run = compile((images: Tensor) => inference(() => model.call(images))), images = tensor(values, shape)
  return {
    impl,
    async run() {
      const logits = run(images), data = await logits.data()
      logits.dispose()
      return data
    },
    dispose() {
      run.clear()
      images.dispose()
    },
  }
}

/** The dense network is the measure of time, not of values. */
const checkless = (subject: Subject, expected: ArrayLike<number>): Subject => ({ ...subject, inOrder: () => expected })

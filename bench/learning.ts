// `bench learning`: what a step of each stage that learns what to cut costs beside a training step of the same network.
// Whole prunes of a few steps run after a fit of as many, round by round, so that what is timed is what `prune` does; a
// stage's first steps, which tune and capture, do not count. Nothing is checked here: tests hold the gradients of the
// stages against differences.
import { buildModel } from '../models/registry.ts'
import { fillNormal } from '../src/base/random.ts'
import { median, quantile, spreadOf } from '../src/base/turns.ts'
import { disposeTree } from '../src/core/tree.ts'
import type { Dataset } from '../src/data/datasets.ts'
import { initialize } from '../src/nn/init.ts'
import { prune } from '../src/pruning/prune.ts'
import { fit } from '../src/train/fit.ts'
import { defaultRounds, type MeasureOptions, type Row } from './harness.ts'
import { compared } from './judge.ts'
import { meter } from './meter.ts'

/** Which networks; `quick`: the small one alone, few pictures at once. */
export interface LearningOptions extends MeasureOptions {
  wanted: (name: string) => boolean
  quick?: boolean
}

/** Stages by what progress calls them; one epoch each. */
const methods = [
  { method: 'xpruner', set: { 'mask-epochs': '1', 'gate-epochs': '1' }, stages: ['masks', 'thresholds'] },
  { method: 'gohsp', set: { 'soft-epochs': '1' }, stages: ['soft-pruning'] },
  { method: 'apma', set: { 'search-epochs': '1' }, stages: ['search'] },
] as const

const networks = [
  { name: 'deit-tiny at 96', architecture: { type: 'deit-tiny', image: 96, classes: 10 }, side: 96, batch: 32 },
  { name: 'compact', architecture: { type: 'vit-compact', image: 24, classes: 10 }, side: 24, batch: 32 },
] as const

/** Steps of a stage, and how many of the first do not count; nor does the last, whose loss is read as it is told. */
const steps = 12, settling = 4

/** Rows of a training step and of each stage, and of what APMA looks at before it searches. */
export async function learningRows(
  { wanted, quick, rounds = defaultRounds, onProgress }: LearningOptions,
): Promise<Row[]> {
  const jobs = networks.filter(({ name }) =>
    (!quick || name === 'compact') && (wanted(`${name} step`) || wanted(`${name} start`))
  )
  const count = meter('bench learning', jobs.length, rounds, onProgress), rows: Row[] = []
  for (const [i, { name, architecture, side, batch: usual }] of jobs.entries()) {
    const batch = quick ? 8 : usual
    const told = count.begin(i, name), data = noise(steps * batch, side)
    const taken = new Map<string, number[][]>()
    for (let round = 0; round < rounds; round++) {
      for (const [what, times] of await oneRound(architecture, data, batch)) {
        taken.set(what, [...taken.get(what) ?? [], times])
      }
      told('', round + 1, rounds)
    }
    const shape = `batch=${batch} image=${side}`, start = taken.get(startOfApma)!
    taken.delete(startOfApma)
    const found = [...taken].map(([impl, each]) => rowOf(`${name} step`, shape, impl, each))
    const before = rowOf(`${name} start`, `images=${calibration}`, startOfApma, start)
    rows.push(...compared(found, [training]), ...compared([before], []))
  }
  return rows
}

const training = 'training step', startOfApma = 'apma, start', calibration = 64

/** Milliseconds of the steps of everything, once after the other. */
async function oneRound(
  architecture: Parameters<typeof buildModel>[0],
  data: Dataset,
  batch: number,
): Promise<Map<string, number[]>> {
  const model = initialize(buildModel(architecture), 0, { std: 0.02 }), times = new Map<string, number[]>()
  const clock = stopwatch(times), rate = 1e-4
  const { groups, random } = await fit(model, data, {
    epochs: 1,
    batch,
    classes: 10,
    rate,
    clip: 1,
    onStep: () => {
      clock(training)
    },
  })
  for (const { optimizer } of groups) optimizer.dispose()
  random.dispose()
  for (const { method, set, stages } of methods) {
    const begin = performance.now()
    let looked = begin, searching = false
    const { model: small } = await prune(model, {
      method,
      options: set,
      data,
      macs: 0.7,
      batch,
      onProgress(what) {
        const stage = stages.find((each) => each === what)
        if (stage) clock(`${method}, ${stage}`)
        // Until the search begins, attention and channels of the calibration images are read.
        else if (!searching) looked = performance.now()
        searching ||= stage !== undefined
      },
    })
    if (method === 'apma') times.set(startOfApma, [looked - begin])
    disposeTree(small)
  }
  disposeTree(model)
  return new Map([...times].map(([what, each]) => [what, what === startOfApma ? each : each.slice(settling, -1)]))
}

/** Puts down how long ago the step before was. */
function stopwatch(times: Map<string, number[]>): (what: string) => void {
  let last = NaN, of = ''
  return (what) => {
    const now = performance.now(), mine = times.get(what) ?? []
    times.set(what, mine)
    if (of === what) mine.push(now - last)
    last = now
    of = what
  }
}

/** Pictures of noise in memory. */
function noise(length: number, side: number): Dataset {
  const size = 3 * side ** 2, values = fillNormal(new Float32Array(length * size), 0, 'pictures')
  const labels = Int32Array.from({ length }, (_, i) => i % 10)
  return {
    name: 'noise',
    length,
    labels,
    preprocessing: {
      resize: null,
      crop: null,
      interpolation: 'bilinear',
      mean: [0, 0, 0],
      std: [1, 1, 1],
      channels: 3,
      cropRounding: 'floor',
    },
    inputShape: () => Promise.resolve([3, side, side]),
    async *batches({ size: each, only }) {
      const order = Array.from(only ?? labels.keys())
      for (let start = 0; start < order.length; start += each) {
        const some = order.slice(start, start + each), images = new Float32Array(some.length * size)
        some.forEach((at, i) => images.set(values.subarray(at * size, (at + 1) * size), i * size))
        const indices = Int32Array.from(some)
        yield { images, shape: [some.length, 3, side, side], labels: indices.map((at) => labels[at]), indices }
      }
    },
  }
}

function rowOf(name: string, shape: string, impl: string, rounds: readonly number[][]): Row {
  const { median: msMedian, mad: msMad, runs } = spreadOf(rounds.flat())
  const byRound = rounds.map(median)
  return {
    suite: 'learning',
    name,
    shape,
    impl,
    msMedian,
    msMad,
    runs,
    gflops: null,
    gbps: null,
    maxRelError: null,
    note: '',
    msP10: quantile(rounds.flat(), 0.1),
    msDevice: null,
    msRounds: byRound,
  }
}

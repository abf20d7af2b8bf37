// Mixed work that a long-lived process does again and again, for tests that look at what each call leaves behind.
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { getHeapStatistics } from 'node:v8'
import { ResNet, ViT } from '../../models/index.ts'
import { attributionMethodOf } from '../../src/attribution/methods.ts'
import { oneHot } from '../../src/attribution/relevance.ts'
import { modelOf, parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { tensor } from '../../src/core/tensor.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { type Dataset, openDataset } from '../../src/data/datasets.ts'
import { cached } from '../../src/data/subset.ts'
import { nodeFiles } from '../../src/files/files.ts'
import { gpu } from '../../src/gpu/device.ts'
import { initialize } from '../../src/nn/init.ts'
import type { Model } from '../../src/nn/model.ts'
import { rank } from '../../src/pruning/plan/select.ts'
import { sliceModel } from '../../src/pruning/plan/slice.ts'
import { criterionOf } from '../../src/pruning/methods/index.ts'
import { Trials } from '../../src/pruning/trial.ts'
import { type Unit, units } from '../../src/pruning/units/units.ts'
import { evaluate } from '../../src/train/evaluate.ts'
import { fit } from '../../src/train/fit.ts'

/** One kind of work; each call starts and ends with the same things on the device. */
export type Round = (turn: number) => Promise<void>

const data = (name: string) => resolve('models/data/cifar10', name)
const input: [number, number, number] = [3, 32, 32]

/** All kinds of work on one network and some images of the package. */
function roundsOf(model: Model, references: Dataset, test: Dataset): Record<string, Round> {
  const all = units(model, [1, ...input], { residual: 'coupled' }),
    found = all.filter(({ prunable }) => prunable === true)
  return {
    evaluate: async () => {
      await evaluate(model, test, { batch: 8 })
    },
    explain: (turn) => explain(model, test, turn),
    prune: async (turn) => {
      const cuts = await plan(model, found, references, turn)
      const small = await sliceModel(model, [1, ...input], cuts, { found: all })
      await evaluate(small, test, { batch: 8 })
      disposeTree(small)
    },
    sweep: async (turn) => {
      const trials = new Trials(model, all, input, test, { batch: 8 })
      const scores = await criterionOf('random').score(scoring(model, found, references, turn))
      // One point a sweep: each is a network of new widths, whose kernels take seconds to compile.
      await trials.run(rank(found, scores, { multipleOf: 1, minimum: 1 }).at([0.1, 0.2, 0.3][turn % 3]))
    },
    train: async (turn) => {
      const { groups, random } = await fit(model, references, {
        epochs: 1,
        batch: 8,
        rate: 1e-5,
        classes: 10,
        seed: turn,
      })
      for (const { optimizer } of groups) optimizer.dispose()
      random.dispose()
    },
  }
}

/** Work on the packaged ResNet-20 (`resnet …`) and on a small ViT (`vit …`), with a few of the packaged images. */
export async function workload(images = 16): Promise<Record<string, Round>> {
  const checked = await parseCheckpoint(await nodeFiles.read(data('resnet20.safetensors')), 'resnet20.safetensors')
  const { preprocessing } = checked
  const open = async (name: string) => {
    const all = await openDataset(`cifar10:${data(name)}`, { preprocessing, classes: 10 })
    return cached(all, Array.from({ length: images }, (_, i) => i))
  }
  const references = await open('train100.bin'), test = await open('test200.bin')
  const vit = new ViT({ image: 32, patch: 8, width: 48, depth: 2, heads: 3, hidden: 96, classes: 10 })
  initialize(vit, 1)
  const networks: Record<string, Model> = { resnet: modelOf(checked) as ResNet, vit }
  return Object.fromEntries(
    Object.entries(networks).flatMap(([name, model]) =>
      Object.entries(roundsOf(model, references, test)).map(([kind, round]) => [`${name} ${kind}`, round])
    ),
  )
}

async function explain(model: Model, test: Dataset, turn: number): Promise<void> {
  for await (const { images, shape, labels } of test.batches({ size: 2, only: [turn % test.length] })) {
    const x = tensor(images, shape), targets = oneHot(labels, 10)
    const reading = attributionMethodOf(turn % 2 ? 'epsilon' : 'gradient')(model, x, targets, { gates: turn % 3 === 0 })
    await reading.input.data()
    disposeTree([x, targets, reading.logits, reading.input, [...reading.sites.values()]])
  }
}

const scoring = (model: Model, found: readonly Unit[], references: Dataset, seed: number) => ({
  model,
  units: found,
  references,
  classes: 10,
  batch: 8,
  seed,
  aggregation: 'mean-of-abs' as const,
})

async function plan(model: Model, found: readonly Unit[], references: Dataset, turn: number) {
  const method = turn % 2 ? 'random' : 'taylor' // random cuts have ever new sizes
  const scores = await criterionOf(method).score(scoring(model, found, references, turn))
  return rank(found, scores, { multipleOf: 1, minimum: 1 }).at(0.1 + turn % 7 / 20)
}

/**
 * What the process holds: megabytes of JavaScript heap in use and of the process, of the device, and cached bind
 * groups. `outside` is what the process has of its own (no files, on Linux) beyond the pages of this thread's heap: V8
 * gives those back when it likes, which alone moves `rss` by tens of megabytes; device memory, code, other threads and
 * what native code keeps all lie outside.
 */
export interface Footprint {
  heap: number
  rss: number
  outside: number
  live: number
  allocated: number
  bindGroups: number
}

/** Bytes of pages that belong to no file, as Linux counts them. */
function ownPages(): number | null {
  const path = '/proc/self/smaps_rollup'
  const found = existsSync(path) ? /^Anonymous: +(\d+) kB$/m.exec(readFileSync(path, 'utf8')) : null
  return found ? Number(found[1]) * 1024 : null
}

/** Collects garbage (needs `--expose-gc`) and says what is left. */
export async function footprint(): Promise<Footprint> {
  const collect = (globalThis as { gc?: () => void }).gc
  if (!collect) throw new Error('run with node --expose-gc')
  for (let i = 0; i < 3; i++) {
    collect()
    await new Promise((done) => setTimeout(done, 5)) // finalizers run between turns
  }
  const { heapUsed, rss } = process.memoryUsage(), { pool: { memory }, launches } = gpu()
  const mega = (bytes: number) => Math.round(bytes / 1e3) / 1e3
  return {
    heap: mega(heapUsed),
    rss: mega(rss),
    outside: mega((ownPages() ?? rss) - getHeapStatistics().total_physical_size),
    live: mega(memory.live),
    allocated: mega(memory.allocated),
    bindGroups: launches.cachedBindGroups,
  }
}

// The second half of `espalier demo`: the small vision transformer that ships with the package is pruned by a method
// that learns what to cut, by relevance and at random, with as many images seen in training by each.
import { parseCheckpoint } from '../checkpoint/checkpoint.ts'
import { disposeTree } from '../core/tree.ts'
import { nodeFiles } from '../files/files.ts'
import { packageFile } from '../files/package.ts'
import { costOf } from '../nn/macs.ts'
import { prune } from '../pruning/prune.ts'
import type { ComparedRun, Comparison } from '../report/comparison.ts'
import { accuracyOf } from '../train/evaluate.ts'
import { follow, type Reporter } from './command.ts'
import { openLabelled } from './open.ts'
import { percent } from './model.ts'
import { cacheTest, openModel } from './pruner.ts'

const digits = (name: string) => packageFile(`models/data/digits/${name}`)
const images = (first: number, last: number) =>
  `idx:${digits('images-idx3-ubyte.gz')},${digits('labels-idx1-ubyte.gz')}#${first}-${last}`
const macs = 0.4, epochs = 3, rate = 2e-3, batch = 25

/** What learns, and what it is compared with; epochs of stages before the cut are of the same budget. */
const runs: readonly { method: string, options?: Record<string, string>, learns?: number }[] = [
  {
    method: 'apma',
    options: { 'search-epochs': '2', 'score-rate': '0.02', 'weight-rate': String(rate) },
    learns: 2,
  },
  { method: 'pxp' },
  { method: 'random' },
]

/** Prunes it and says what came of it. */
export async function transformerDemo(reporter: Reporter, seed: number): Promise<Comparison> {
  const network = digits('vit.safetensors'), checked = await parseCheckpoint(await nodeFiles.read(network), network)
  const { preprocessing } = checked
  const data = await cacheTest(await openLabelled(images(0, 499), checked, preprocessing, reporter), reporter)
  const test = await cacheTest(await openLabelled(images(1600, 1999), checked, preprocessing, reporter), reporter)
  const input = await data.inputShape(), model = openModel({ checked })
  const measured = async (small: typeof model) => ({
    ...costOf(small, input),
    top1: (await accuracyOf(small, test, { batch: 50 })).top1,
  })
  const compared = (
    method: string,
    { top1, macs: left, params }: Awaited<ReturnType<typeof measured>>,
  ): ComparedRun => ({
    method,
    top1,
    macs: left,
    params,
    epochs: [],
  })
  const found = [compared('dense', await measured(model))]
  for (const { method, options, learns = 0 } of runs) {
    const { onProgress, stop } = follow(reporter)
    const { model: small, stages } = await prune(model, {
      method,
      options,
      data,
      macs,
      batch,
      seed,
      multipleOf: 1,
      finetune: { epochs: epochs - learns, rate },
      onProgress,
    }).finally(stop)
    found.push({
      ...compared(method, await measured(small)),
      epochs: stages.map(({ name, epochs: own }) => [name, own] as const),
    })
    disposeTree(small)
  }
  disposeTree(model)
  return {
    title: 'A transformer, by a method that learns what to cut',
    summary: [
      `A ViT for digits, of ${percent(macs, 0)} of its multiply-adds, after ${epochs} epochs on ${data.length} images `
      + `for each method; top-1 on ${test.length} others.`,
      'APMA learns which channels of attention and which neurons stay while the weights train; relevance (pxp) and',
      'chance take whole heads and neurons.',
    ].join(' '),
    runs: found,
  }
}

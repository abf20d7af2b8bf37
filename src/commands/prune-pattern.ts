// `espalier prune --pattern`: score weights, keep the tiles of a sparsity pattern that are worth most, pack them, train
// what stays if asked, check and save. As with a cut, the file is put in place only after it was read back and run.
import { EspalierError, InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import { close, gpu, init } from '../gpu/device.ts'
import { encodeCheckpoint, modelOf, parseCheckpoint } from '../checkpoint/checkpoint.ts'
import { digestOfScores } from '../files/digest.ts'
import { nodeFiles } from '../files/files.ts'
import { folderStore } from '../files/folder-store.ts'
import { openOutput, type Output } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { isPluginPath } from '../files/plugin.ts'
import { difference, logitsOf } from '../pruning/check.ts'
import { sizeAndAccuracy } from '../pruning/figures.ts'
import type { Method } from '../pruning/methods/method.ts'
import { prunePattern, weightCriterion } from '../pruning/pattern.ts'
import { checkedOptions } from '../pruning/prune.ts'
import { shareText, timeText } from '../report/format.ts'
import { stageLines } from '../report/stages.ts'
import type { Figures } from '../report/types.ts'
import { checkPattern } from '../sparse/check-pattern.ts'
import { checkSites } from '../sparse/choose.ts'
import type { Pattern } from '../sparse/pattern.ts'
import { chooseSites, type WeightSite, weightSites } from '../sparse/sites.ts'
import { timeBoth } from '../train/timing.ts'
import { disposeTree } from '../core/tree.ts'
import { claimOutputs, filesRead } from './claims.ts'
import { type Answer, follow, type Reporter } from './command.ts'
import { namedMethod } from './method.ts'
import { large, percent } from './model.ts'
import { nodeHint } from './node-hint.ts'
import { preparedJson, preparedText } from './open.ts'
import { packedTable } from './packed-table.ts'
import { namedPattern } from './pattern.ts'
import { cacheReferences, cacheTest, checkData, openJob, openModel, type OpenJob } from './pruner.ts'
import type { PruneOptions } from './prune-setup.ts'

type Options = PruneOptions & { args: string[] }

/** Flags of a cut, which a pattern has no use for. */
const foreign = [
  'keep',
  'macs',
  'params',
  'bytes',
  'ms',
  'units',
  'report',
  'recipe',
  'best',
  'distill',
  'ema',
  'dryRun',
] as const

/** The command with `--pattern`. @throws InputError. */
export async function pruneToPattern(options: Options, reporter: Reporter): Promise<Answer> {
  const pattern = await namedPattern(options.pattern!), { out, args: [model], method } = options
  const lost = foreign.find((flag) => options[flag] !== undefined)
  if (lost) {
    const flag = lost === 'dryRun' ? 'dry-run' : lost
    throw new InputError(`prune: --${flag} is for cutting units and --pattern for packing weights; give one`)
  }
  if (options.steps > 1) throw new InputError('prune: --pattern takes one step; train --pattern goes in many')
  const named = await namedMethod(method), reads = readsOf(method, named)
  if (options.set !== undefined && !named.toPattern) {
    throw new InputError(`prune: --set is for methods that train, and ${method} scores weights; leave it out`)
  }
  checkedOptions(method, named, options.set ?? {})
  checkData(method, options.finetune === undefined ? reads : 'training', options)
  const outputs = [{ flag: '--out', path: out }]
  claimOutputs(outputs, filesRead({ model, method, pattern: options.pattern }), options.overwrite ?? false)
  const job = await openJob(model, options, reporter)
  claimOutputs(outputs, filesRead({ model, ...job }), options.overwrite ?? false)
  const skip = options.skip?.split(',').map((name) => name.trim())
  const sites = chooseSites(weightSites(job.checked.shape, [1, ...job.input]), skip)
  checkSites(sites, pattern)
  const output = openOutput(out)
  try {
    await init({ adapter: options.adapter, threads: options.threads })
    if (isPluginPath(options.pattern!)) await checkOwn(pattern, sites)
    return await work(job, pattern, skip, options, reporter, output)
  } finally {
    output.abandon()
    await close()
  }
}

/** What a method reads where it makes a pattern. @throws InputError for one that scores units alone. */
function readsOf(name: string, method: Method): Method['reads'] {
  if (method.toPattern) return 'training'
  return weightCriterion(name, method.criterion).images ? 'references' : 'nothing'
}

/** Tries a pattern of the user's own on the smallest weights before a network is packed by it. @throws InputError. */
async function checkOwn(pattern: Pattern, sites: readonly WeightSite[]): Promise<void> {
  const shapes = new Map(sites.map(({ matrix }) => [matrix.join(), matrix]))
  const bySize = [...shapes.values()].sort((a, b) => a[0] * a[1] - b[0] * b[1])
  await checkPattern(pattern, { shapes: bySize.slice(0, 2) })
}

async function work(
  job: OpenJob,
  pattern: Pattern,
  skip: readonly string[] | undefined,
  options: Options,
  reporter: Reporter,
  output: Output,
): Promise<Answer> {
  const { checked, input } = job, { method, batch, ranking, minimum, aggregation, seed = 0, f16 = false } = options
  const named = await namedMethod(method), reads = readsOf(method, named)
  const references = reads === 'training' ? null : await cacheReferences(job, options, reporter)
  const test = job.test && await cacheTest(job.test, reporter)
  const model = openModel(job)
  const measured = async (network: Model, bytes: number, what: string): Promise<Figures & { keptMacs: number }> => {
    const progress = test && reporter.progress(what, test.length)
    const onProgress = (done: number) => progress?.update(done)
    const found = await sizeAndAccuracy(network, input, { test, batch, onProgress }).finally(() => progress?.stop())
    return { ...found, bytes }
  }
  const dense = await measured(model, checked.bytes, 'evaluating the dense network')
  const { onProgress, stop } = follow(reporter)
  const augment = options.flip === undefined ? undefined : { flip: options.flip }
  const store = folderStore(`${options.out}.state`)
  const pruned = await prunePattern(model, {
    pattern,
    density: options.density,
    ranking,
    minimum,
    method: named.toPattern ? named : named.criterion!,
    options: named.toPattern && options.set,
    store,
    augment,
    name: method,
    skip,
    data: job.data ?? undefined,
    references: references ?? undefined,
    input,
    classes: checked.classCount,
    aggregation,
    batch,
    seed,
    finetune: options.finetune === undefined ? undefined : {
      epochs: options.finetune,
      rate: options.rate,
      augment,
    },
    onProgress,
  }).finally(stop)
  const hint = nodeHint(gpu().adapter.architecture)
  const said = [
    `pictures and network: ${preparedText(job.prepared, checked)}`,
    ...pruned.notes,
    ...hint ? [hint] : [],
  ]
  const notes = [...checked.notes, ...said], scores = digestOfScores(pruned.scores), { density } = pruned
  const step = { method, pattern: pattern.name, density, ranking, seed, scores }
  const sparsity = { steps: [...checked.sparsity?.steps ?? [], step] }
  const info = { ...checked, naming: 'espalier', sparsity }
  output.write(await encodeCheckpoint(pruned.model, info, { floats: f16 ? 'f16' : 'f32' }))
  const layers = packedTable(pruned.model)
  disposeTree(pruned.model)
  // What was written is what is checked: the bytes on the disk, parsed and run like any other file.
  const written = await parseCheckpoint(await nodeFiles.read(output.partial), output.partial)
  const again = modelOf(written)
  const error = difference(await logitsOf(again, pruned.probes), pruned.logits), allowed = f16 ? 3e-2 : 1e-3
  if (!(error <= allowed)) {
    throw new EspalierError(
      `${options.out}: read back, the network differs from the one that was packed by ${
        error.toExponential(1)
      } of the largest logit, expected at most ${allowed}; the file was not put in place`,
    )
  }
  const small = await measured(again, written.bytes, 'evaluating the sparse network')
  const times = await timeBoth(model, again, [batch, ...input])
  const before = { ...dense, ...times.before }, after = { ...small, ...times.after }
  disposeTree([model, again])
  output.commit()
  store.clear() // there is nothing left to go on with
  const json = {
    model: options.args[0],
    out: options.out,
    method,
    pattern: pattern.name,
    density,
    ranking,
    seed,
    adapter: gpu().adapter.name,
    version: packageVersion(),
    before,
    after,
    layers,
    references: reads === 'references' ? references?.length ?? 0 : 0,
    scores,
    difference: error,
    finetune: options.finetune ?? 0,
    stages: pruned.stages,
    ...preparedJson(job.prepared),
    notes,
  }
  const change = (key: 'params' | 'bytes', unit = '') =>
    `${large(before[key]!)}${unit} -> ${large(after[key]!)}${unit} (${percent(after[key]! / before[key]!, 1)})`
  const text = [
    `${options.out}: ${percent(density, 1)} of the entries of ${layers.length} weights stay, as ${pattern.name}`,
    ...options.test === undefined
      ? ['  accuracy was not measured; give --test']
      : [`  top-1 ${percent(before.top1!)} -> ${percent(after.top1!)} on ${after.images} images`],
    `  multiply-adds done ${large(before.keptMacs)} -> ${large(after.keptMacs)}, parameters ${change('params')}, file ${
      change('bytes', 'B')
    }`,
    `  ${timeText(before)} -> ${timeText(after)} ms per image in turns: ${shareText(after)}`,
    `  read back and compared: largest difference ${error.toExponential(1)} of the largest logit`,
    ...[...stageLines(pruned.stages), ...said].map((note) => `  ${note}`),
  ].join('\n')
  return { json, text }
}

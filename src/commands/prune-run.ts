// What `espalier prune` does: score, select, slice, fine-tune if asked, check, save. The file is put in place only
// after it was read back, run on the device and found to compute what the masked network computes.
import { basename, resolve } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import { close, gpu, init } from '../gpu/device.ts'
import { encodeCheckpoint, modelOf, parseCheckpoint } from '../checkpoint/checkpoint.ts'
import { digestOfScores } from '../files/digest.ts'
import { nodeFiles } from '../files/files.ts'
import { folderStore } from '../files/folder-store.ts'
import { openOutput, type Output } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import type { ScoreSums } from '../attribution/relevance.ts'
import type { Dataset } from '../data/datasets.ts'
import { partOf } from '../data/subset.ts'
import { difference, logitsOf } from '../pruning/check.ts'
import { sizeAndAccuracy } from '../pruning/figures.ts'
import { fileSize } from '../pruning/plan/file-size.ts'
import { recordOf } from '../pruning/plan/record.ts'
import type { Method } from '../pruning/methods/method.ts'
import { budgetOf, checkedOptions, jobOf, prune as prunePipeline } from '../pruning/prune.ts'
import type { Figures, KeptUnit, Report } from '../report/types.ts'
import { disposeTree } from '../core/tree.ts'
import { nodeHint } from './node-hint.ts'
import { type Answer, follow, type Reporter } from './command.ts'
import { claimOutputs, filesRead, type NamedFile } from './claims.ts'
import { shareText, timeText } from '../report/format.ts'
import { stageLines } from '../report/stages.ts'
import { timeBoth } from '../train/timing.ts'
import { classMasksOf } from './class-masks.ts'
import { commandLine } from './command-line.ts'
import { dryRun, dryText } from './dry-run.ts'
import { graphReport } from './head-graph.ts'
import { heatmapsOf } from './heatmaps.ts'
import { namedMethod } from './method.ts'
import { large, percent } from './model.ts'
import { preparedJson, preparedText, type Say } from './open.ts'
import { filesWritten, jsonBeside, type PruneOptions } from './prune-setup.ts'
import { withoutRecipeBudget } from './recipe.ts'
import { cacheReferences, cacheTest, checkData, type Job, openModel, prepareJob, referencePositions } from './pruner.ts'

/** Flags that go together, and what they name. */
export interface CheckedPrune {
  options: PruneOptions & { args: string[] }
  method: Method
  files: NamedFile[]
}

/** @throws InputError for flags that do not go together, and for outputs that are inputs. */
export async function checkPrune(given: PruneOptions & { args: string[] }): Promise<CheckedPrune> {
  refusePatternFlags(given)
  const options = withoutRecipeBudget(given, ['keep', 'macs', 'params', 'bytes', 'ms'])
  budgetOf(options)
  const method = await namedMethod(options.method)
  checkedOptions(options.method, method, options.set ?? {})
  checkData(options.method, options.finetune === undefined ? method.reads : 'training', options)
  const reports = options.report === undefined ? [] : [options.report, jsonBeside(options.report)]
  const clash = reports.find((path) => [options.out, options.args[0]].some((other) => resolve(other) === resolve(path)))
  if (clash !== undefined) {
    throw new InputError(
      `--report ${options.report!}: would write ${clash}, which is the network; give another name, e.g. report.html`,
    )
  }
  const files = filesWritten(options), { args: [model], overwrite = false } = options
  claimOutputs(files, filesRead({ model, ...pick(options, ['method', 'recipe']) }), overwrite)
  return { options, method, files }
}

/** The network with its images. @throws InputError. */
export async function preparePrune({ options, method, files }: CheckedPrune, reporter: Say): Promise<Job> {
  const units = options.units ?? method.kinds?.join(','), { args: [model], overwrite = false } = options
  const job = await prepareJob(model, { ...options, units }, reporter)
  claimOutputs(files, filesRead({ model, ...job }), overwrite)
  return job
}

/** What other processes have scored, and the command that they were started by. */
export interface Scored {
  sums: ScoreSums
  command: string
  notes: readonly string[]
}

/** Prunes and writes. */
export async function pruneChecked(
  { options, method, files }: CheckedPrune,
  job: Job,
  reporter: Reporter,
  scored?: Scored,
): Promise<Answer> {
  const outputs: Output[] = []
  try {
    // found wanting now rather than after the work
    for (const { path } of files) outputs.push(openOutput(path))
    const gpu = await init({ adapter: options.adapter, threads: options.threads })
    if (options.dryRun) return await rehearse(job, method, options)
    const [output, page, numbers] = outputs as (Output | undefined)[]
    const result = await pruneJob(job, options, reporter, output!, gpu.adapter.name, scored)
    if (page && numbers) {
      const { htmlReport } = await import('../report/report.ts')
      page.write(htmlReport(result.report))
      const { masks, graph } = result.report
      numbers.write(`${JSON.stringify({ ...result.json, masks, graph }, null, 1)}\n`)
      page.commit()
      numbers.commit()
    }
    return result
  } finally {
    for (const output of outputs) output.abandon()
    await close()
  }
}

/** The flags as the pipeline takes them. */
const jobOptions = (
  { found, chosen, checked, input, data }: Job,
  options: PruneOptions,
  method: Method,
  references: Dataset | null,
) => ({
  ...pick(options, ['keep', 'macs', 'params', 'bytes', 'ms', 'ranking', 'minimum', 'aggregation', 'steps', 'residual']),
  method,
  name: options.method,
  data: data ?? undefined,
  references: references ?? undefined,
  input,
  classes: checked.classCount,
  found,
  units: chosen,
  multipleOf: options.multiple,
  batch: options.batch,
  seed: options.seed ?? 0,
  augment: options.flip === undefined ? undefined : { flip: options.flip },
  options: options.set,
})

/** `--dry-run`: nothing is trained, nothing written. */
async function rehearse(job: Job, method: Method, options: PruneOptions) {
  const model = openModel(job)
  const found = await dryRun(
    await jobOf(model, method, jobOptions(job, options, method, job.data)),
    method,
    options.finetune ?? 0,
  )
  disposeTree(model)
  return {
    json: { dryRun: true, method: options.method, recipe: options.recipe, ...found },
    text: dryText(found, options.out),
  }
}

/** @throws InputError for flags that mean something with --pattern only. */
function refusePatternFlags(options: PruneOptions): void {
  const lost = (['density', 'skip'] as const).find((flag) => options[flag] !== undefined)
  if (lost) throw new InputError(`prune: --${lost} goes with --pattern, found no --pattern`)
}

/** Everything between an open device and a file in place. Also what `demo` runs. */
export async function pruneJob(
  job: Job,
  options: PruneOptions & { args: string[] },
  reporter: Reporter,
  output: Output,
  adapter: string,
  scored?: Scored,
) {
  const { checked, input, found, chosen } = job
  const { method, batch, residual, seed = 0, f16 = false } = options
  const floats = f16 ? 'f16' : 'f32'
  const chosenMethod = await namedMethod(method)
  const references = scored
    ? partOf(job.data!, referencePositions(job.data!, options)) // a few are read, to compare networks by
    : await referencesFor(chosenMethod, job, options, reporter)
  const test = job.test && await cacheTest(job.test, reporter)
  const model = openModel(job)
  const measured = async (network: Model, bytes: number, what: string): Promise<Figures> => {
    const progress = test && reporter.progress(what, test.length)
    const onProgress = (done: number) => progress?.update(done)
    const options = { test, batch, onProgress }
    return { ...await sizeAndAccuracy(network, input, options).finally(() => progress?.stop()), bytes }
  }
  const dense = await measured(model, checked.bytes, 'evaluating the dense network')
  const { onProgress, stop } = follow(reporter)
  const store = folderStore(`${options.out}.state`), started = performance.now()
  const pruned = await prunePipeline(model, {
    ...jobOptions(job, options, chosenMethod, references),
    sums: scored?.sums,
    finetune: options.finetune === undefined ? undefined : {
      ...pick(options, ['rate', 'best']),
      epochs: options.finetune,
      average: options.ema,
      distill: options.distill && { kind: options.distill },
    },
    store,
    fileBytes: (plan) =>
      fileSize(checked.shape, found, plan, {
        floats,
        step: { method, residual },
        before: checked.pruning,
        classes: checked.classes,
      }),
    onProgress,
  }).finally(stop)
  const { plan, rate } = pruned, pruningMs = Math.round(performance.now() - started)
  // what was guessed or ignored was said on opening; files that are read later need it too
  const hint = nodeHint(gpu().adapter.architecture)
  const said = [
    `pictures and network: ${preparedText(job.prepared, checked)}`,
    ...pruned.notes,
    ...hint ? [hint] : [],
    ...scored?.notes ?? [],
  ]
  const notes = [...checked.notes, ...said]
  const scores = digestOfScores(pruned.scores)
  const pruning = recordOf(pruned.model, found, plan, { method, rate, seed, residual, scores }, checked.pruning)
  // What was written is what is checked: the bytes on the disk, parsed and run like any other file.
  output.write(await encodeCheckpoint(pruned.model, { ...checked, naming: 'espalier', pruning }, { floats }))
  disposeTree(pruned.model)
  const written = await parseCheckpoint(await nodeFiles.read(output.partial), output.partial)
  const again = modelOf(written)
  if (options.bytes !== undefined && written.bytes > options.bytes) {
    throw new EspalierError(
      `--bytes ${options.bytes}: the file came to ${written.bytes}; it was not put in place, ask for a little less`,
    )
  }
  const error = difference(await logitsOf(again, pruned.probes), pruned.logits), allowed = f16 ? 3e-2 : 1e-3
  if (!(error <= allowed)) throw apart(options, error, allowed)
  const small = await measured(again, written.bytes, 'evaluating the pruned network')
  const times = await timeBoth(model, again, [batch, ...input])
  const before = { ...dense, ...times.before }, after = { ...small, ...times.after }
  const units = found.map(({ name, size }): KeptUnit => ({
    name,
    size,
    kept: plan.get(name)?.reduce((a, b) => a + b, 0) ?? size,
  }))
  const heatmaps = options.report === undefined || !test ? undefined : await heatmapsOf(model, again, checked, test)
  disposeTree([model, again])
  output.commit()
  store.clear() // there is nothing left to go on with

  const common = { method, rate, seed, adapter, version: packageVersion() }
  const report: Report = {
    ...common,
    title: `${basename(checked.name)} pruned by ${method}`,
    model: options.args[0],
    data: options.data ?? 'none',
    test: options.test,
    command: scored?.command ?? commandLine(),
    before,
    after,
    units: units.filter(({ name }) => chosen.some((unit) => unit.name === name)),
    stages: pruned.stages,
    masks: pruned.masks ? classMasksOf(pruned.masks, chosen, plan, checked) : undefined,
    graph: pruned.graph ? graphReport(pruned.graph, plan) : undefined,
    heatmaps,
    notes,
  }
  const json = {
    model: options.args[0],
    out: options.out,
    ...common,
    before,
    after,
    units,
    references: chosenMethod.reads === 'nothing' ? 0 : references?.length ?? 0,
    residual,
    scores,
    difference: error,
    finetune: options.finetune ?? 0,
    stages: pruned.stages,
    pruningMs,
    ...preparedJson(job.prepared),
    notes,
  }
  return {
    json,
    report,
    text: textOf(options, before, after, rate, error, units, [...stageLines(pruned.stages), ...said]),
  }
}

/** The images that a method reads, ready for the network. */
async function referencesFor({ reads }: Method, job: Job, options: PruneOptions, reporter: Reporter) {
  // What trains goes through all the images itself; kept ready they could not be mirrored any more.
  const asked = options.references ?? options.perClass
  return reads === 'training' && asked === undefined ? job.data : cacheReferences(job, options, reporter)
}

/** Some options of many. */
function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>
}

/** What is wrong where the file that was written computes other logits. */
function apart({ out, finetune, f16 = false }: PruneOptions, error: number, allowed: number): EspalierError {
  const cure = f16
    ? 'Halves hold its weights too coarsely: store it without --f16'
    : "The fault is Espalier's and not your files': please report it, with this command and the network's sha256"
  return new EspalierError(
    `${out}: read back, the network differs from ${finetune ? 'the one that was trained' : 'the masked one'} by ${
      error.toExponential(1)
    } of the largest logit, expected at most ${allowed}; the file was not put in place. ${cure}`,
  )
}

function textOf(
  { out, test }: PruneOptions,
  before: Figures,
  after: Figures,
  rate: number,
  error: number,
  units: readonly KeptUnit[],
  notes: readonly string[],
): string {
  const change = (key: 'params' | 'macs' | 'bytes', unit = '') =>
    `${large(before[key]!)}${unit} -> ${large(after[key]!)}${unit} (${percent(after[key]! / before[key]!, 1)})`
  const cut = units.filter(({ size, kept }) => kept < size)
  return [
    `${out}: ${percent(rate, 1)} of the elements are gone, from ${cut.length} units`,
    ...test === undefined
      ? ['  accuracy was not measured; give --test']
      : [`  top-1 ${percent(before.top1!)} -> ${percent(after.top1!)} on ${after.images} images`],
    `  multiply-adds ${change('macs')}, parameters ${change('params')}, file ${change('bytes', 'B')}`,
    `  ${timeText(before)} -> ${timeText(after)} ms per image in turns: ${shareText(after)}`,
    `  read back and compared: largest difference ${error.toExponential(1)} of the largest logit`,
    ...notes.map((note) => `  ${note}`),
  ].join('\n')
}

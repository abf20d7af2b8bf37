// `espalier prune`: score, select, slice, fine-tune if asked, check, save. The file is put in place only after it was
// read back, run on the device and found to compute what the masked network computes.
import { createHash } from 'node:crypto'
import { basename, resolve } from 'node:path'
import type { Command } from 'commander'
import { EspalierError, InputError } from '../base/errors.ts'
import { type Evaluation, evaluate } from '../train/evaluate.ts'
import type { Model } from '../nn/model.ts'
import { close, init } from '../gpu/device.ts'
import { encodeCheckpoint, modelOf, parseCheckpoint } from '../checkpoint/checkpoint.ts'
import type { Dataset } from '../data/datasets.ts'
import { nodeFiles } from '../files/files.ts'
import { openOutput, type Output } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { costOf } from '../nn/macs.ts'
import { forwardTime, latencyTable } from '../pruning/latency.ts'
import { maskModel, unmaskModel } from '../pruning/plan/mask.ts'
import { recordOf } from '../pruning/plan/record.ts'
import type { Scores } from '../pruning/scores/score.ts'
import { scoreOf } from '../pruning/methods/index.ts'
import { countAt, keptOf, narrowerThan, onlyCuts, rank, type Ranking, withinBudget } from '../pruning/plan/select.ts'
import { freeModel, hostWeights, type Plan, sliceModel, sliceShapes } from '../pruning/plan/slice.ts'
import { planCost } from '../pruning/trial.ts'
import type { Figures, KeptUnit, Report } from '../report/types.ts'
import { tensor } from '../core/tensor.ts'
import { fit } from '../train/fit.ts'
import { lean } from '../core/transform.ts'
import { disposeTree, leaves } from '../core/tree.ts'
import { type CommandSpec, type Talk, wholeNumber } from './command.ts'
import { commandLine } from './command-line.ts'
import { heatmapsOf } from './heatmaps.ts'
import { large, numberWithin, percent } from './model.ts'
import { addPruner, goneFirst, holdReferences, holdTest, type Job, oneOf, openModel, prepareJob, type PrunerOptions,
  scoresBy } from './pruner.ts'

/** Flags of `prune`. */
export interface PruneOptions extends PrunerOptions {
  method: string
  out: string
  keep?: number
  macs?: number
  params?: number
  bytes?: number
  ms?: number
  ranking: 'global' | 'per-unit'
  multiple: number
  minimum: number
  steps: number
  finetune?: number
  rate: number
  report?: string
  f16?: boolean
  overwrite?: boolean
}

const budgets = ['keep', 'macs', 'params', 'bytes', 'ms'] as const

/** The command `espalier prune <model> --method <name> --data <data> --out <file>`. */
export const prune: CommandSpec<PruneOptions> = {
  name: 'prune',
  summary: 'scores units, cuts the least important ones, fine-tunes if asked, checks the smaller network and saves it',
  declare,
  async run(options, talk) {
    scoreOf(options.method)
    const given = budgets.filter((name) => options[name] !== undefined)
    if (given.length !== 1) {
      throw new InputError(
        `prune: expected one of --keep, --macs, --params, --bytes and --ms, found ${
          given.map((name) => `--${name}`).join(' and ') || 'none'
        }`,
      )
    }
    if (!options.overwrite && await nodeFiles.exists(options.out)) {
      throw new InputError(`--out ${options.out}: there already; give another name, or --overwrite`)
    }
    const reports = options.report === undefined ? [] : [options.report, jsonBeside(options.report)]
    const clash = reports.find((path) =>
      [options.out, options.args[0]].some((other) => resolve(other) === resolve(path))
    )
    if (clash !== undefined) {
      throw new InputError(
        `--report ${options.report!}: would write ${clash}, which is the network; give another name, e.g. report.html`,
      )
    }
    const outputs: Output[] = []
    try {
      // found wanting now rather than after the work
      for (const path of [options.out, ...reports]) outputs.push(openOutput(path))
      const job = await prepareJob(options.args[0], options)
      const gpu = await init({ adapter: options.adapter, threads: options.threads })
      const [output, page, numbers] = outputs as (Output | undefined)[]
      const result = await pruneJob(job, options, talk, output!, gpu.adapter.name)
      if (page && numbers) {
        const { htmlReport } = await import('../report/report.ts')
        page.write(htmlReport(result.report))
        numbers.write(`${JSON.stringify(result.json, null, 1)}\n`)
        page.commit()
        numbers.commit()
      }
      return result
    } finally {
      for (const output of outputs) output.abandon()
      await close()
    }
  },
}

/** `small.html` has its numbers in `small.json`. */
export const jsonBeside = (report: string): string => `${report.replace(/\.html?$/i, '')}.json`

function declare(command: Command) {
  const fraction = numberWithin(0.001, 1)
  addPruner(command)
    .requiredOption(
      '--method <name>',
      'pxp, pxp:<composite>, pxp:<low>/<middle>/<high>/<classifier>[/<softmax>], yeom, magnitude, magnitude-l2, activation, '
        + 'apoz, taylor, gradient, integrated-gradients, averaged-gradients, random',
    )
    .requiredOption('--out <file>', 'the pruned checkpoint')
    .option('--keep <fraction>', 'keep this share of the elements', fraction)
    .option('--macs <fraction>', 'keep at most this share of the multiply-adds', fraction)
    .option('--params <fraction>', 'keep at most this share of the parameters', fraction)
    .option('--bytes <n>', 'make the file at most so many bytes', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option(
      '--ms <x>',
      'at most so many milliseconds per image on this device, measured at --batch',
      numberWithin(1e-6, 1e9),
    )
    .option(
      '--ranking <how>',
      'global: least important of the whole network first; per-unit: the same share of every layer',
      oneOf(['global', 'per-unit'] as const, '--ranking'),
      'global',
    )
    .option('--multiple <n>', 'round widths to multiples of this', wholeNumber(1, 1024), 4)
    .option('--minimum <n>', 'leave at least so many elements of each unit', wholeNumber(1, 4096), 1)
    .option(
      '--steps <n>',
      'prune in so many steps, scoring anew before each (Yeom et al. 2021)',
      wholeNumber(1, 1000),
      1,
    )
    .option('--finetune <epochs>', 'train on --data between slicing and the check', wholeNumber(1, 100_000))
    .option('--rate <x>', 'peak learning rate of fine-tuning', numberWithin(0, 100), 1e-4)
    .option('--test <data>', 'images to measure accuracy on, before and after')
    .option('--report <html>', 'a report with figures, kept units and heatmaps; its numbers as .json beside it')
    .option('--f16', 'store weights in half precision')
    .option('--overwrite', 'replace --out if it is there')
}

/** Everything between an open device and a file in place. Also what `demo` runs. */
export async function pruneJob(
  job: Job,
  options: PruneOptions & { args: string[] },
  talk: Talk,
  output: Output,
  adapter: string,
) {
  const { checked, input, found, chosen } = job
  const { method, batch, residual, seed = 0, f16 = false } = options
  const references = await holdReferences(job, options, talk)
  const test = job.test && await holdTest(job.test, talk)
  const model = openModel(job)
  const before = await figuresOf(model, checked.bytes, input, test, batch, talk, 'evaluating the dense network')
  const { plan, scores, notes } = await choosePlan(model, job, references, options, talk)
  const kept = 1 - keptOf(plan) / chosen.reduce((sum, { size }) => sum + size, 0)

  const small = await sliceModel(model, [1, ...input], onlyCuts(plan), {
    found,
    residual,
    weights: await hostWeights(model),
  })
  const digest = digestOf(scores)
  const pruning = recordOf(small, found, plan, { method, rate: kept, seed, residual, scores: digest }, checked.pruning)
  let wanted = await logitsOf(model, references, batch, () => {
    maskModel(model, found, plan)
  })
  unmaskModel(model)
  if (options.finetune) {
    await finetune(small, job, options, talk)
    wanted = await logitsOf(small, references, batch)
  }
  // What was written is what is checked: the bytes on the disk, parsed and run like any other file.
  output.write(
    await encodeCheckpoint(small, { ...checked, naming: 'espalier', pruning }, { floats: f16 ? 'f16' : 'f32' }),
  )
  freeModel(small)
  const written = await parseCheckpoint(await nodeFiles.read(output.partial), output.partial)
  const again = modelOf(written)
  if (options.bytes !== undefined && written.bytes > options.bytes) {
    throw new EspalierError(
      `--bytes ${options.bytes}: the file came to ${written.bytes}; it was not put in place, ask for a little less`,
    )
  }
  const error = difference(await logitsOf(again, references, batch), wanted), allowed = f16 ? 3e-2 : 1e-3
  if (!(error <= allowed)) {
    throw new EspalierError(
      `${options.out}: read back, the network differs from ${
        options.finetune ? 'the one that was trained' : 'the masked one'
      } by ${error.toExponential(1)} `
        + `of the largest logit, expected at most ${allowed}; the file was not put in place, please report this`,
    )
  }
  const after = await figuresOf(again, written.bytes, input, test, batch, talk, 'evaluating the pruned network')
  const units = found.map(({ name, size }): KeptUnit => ({
    name,
    size,
    kept: plan.get(name)?.reduce((a, b) => a + b, 0) ?? size,
  }))
  const heatmaps = options.report === undefined || !test ? undefined : await heatmapsOf(model, again, checked, test)
  disposeTree([model, again])
  output.commit()

  const common = { method, rate: kept, seed, adapter, version: packageVersion() }
  const report: Report = {
    ...common,
    title: `${basename(checked.name)} pruned by ${method}`,
    model: options.args[0],
    data: options.data,
    test: options.test,
    command: commandLine(),
    before,
    after,
    units: units.filter(({ name }) => chosen.some((unit) => unit.name === name)),
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
    references: references.length,
    residual,
    scores: digest,
    difference: error,
    finetune: options.finetune ?? 0,
    notes,
  }
  return { json, report, text: textOf(options, before, after, kept, error, units, notes) }
}

/**
 * Scores and the plan within the budget; with several steps the last scores, those of what has gone before staying in
 * front.
 */
async function choosePlan(
  model: Model,
  job: Job,
  references: Dataset,
  options: PruneOptions,
  talk: Talk,
): Promise<{ plan: Plan, scores: Scores, notes: string[] }> {
  const { ranking, multiple: multipleOf, minimum, steps } = options
  const { found, chosen } = job
  const rankBy = (scores: Scores) => rank(chosen, scores, { ranking, multipleOf, minimum })
  let scores = await scoresBy(options.method, model, job, references, options, talk)
  let choice = await budgeted(rankBy(scores), model, job, options, talk)
  for (let step = 1; step < steps; step++) {
    const masks = rankBy(scores).plan(Math.round(choice.count * step / steps))
    scores = goneFirst(await scoresBy(options.method, model, job, references, options, talk, masks), masks)
    if (step === steps - 1) choice = await budgeted(rankBy(scores), model, job, options, talk)
  }
  const narrow = narrowerThan(chosen, multipleOf)
  const gone = found.filter(({ name }) => choice.plan.get(name)?.includes(0)).length
  const notes = [
    `${gone} of ${chosen.length} units lose elements; scores from ${references.length} reference images`,
    ...narrow.length
      ? [`${narrow.length} of ${chosen.length} units are narrower than --multiple ${multipleOf} and stay whole`]
      : [],
    ...choice.notes,
  ]
  return { plan: choice.plan, scores, notes }
}

async function budgeted(
  ranking: Ranking,
  model: Model,
  { checked, input, found, chosen }: Job,
  options: PruneOptions,
  talk: Talk,
): Promise<{ plan: Plan, count: number, notes: string[] }> {
  const { keep, macs, params, bytes, ms, batch } = options
  if (keep !== undefined) {
    const count = countAt(1 - keep, ranking.total)
    return { plan: ranking.plan(count), count, notes: [] }
  }
  const dense = costOf(checked.shape, input)
  const cost = (what: 'macs' | 'params') => (plan: Plan) => planCost(checked.shape, found, plan, input)[what]
  if (macs !== undefined) {
    return { ...withinBudget(ranking, cost('macs'), macs * dense.macs, 'multiply-adds'), notes: [] }
  }
  if (params !== undefined) {
    return { ...withinBudget(ranking, cost('params'), params * dense.params, 'parameters'), notes: [] }
  }
  if (bytes !== undefined) {
    const each = options.f16 ? 2 : 4
    const size = (plan: Plan) => {
      const small = sliceShapes(checked.shape, found, onlyCuts(plan)), all = leaves(small)
      const record = recordOf(small, found, plan, {
        method: options.method,
        rate: 0,
        seed: 0,
        residual: options.residual,
        scores: '0'.repeat(64),
      }, checked.pruning)
      // Weights, their names and places in the header, the record as a string within JSON, and what else the header
      // says.
      return all.reduce((sum, [path, leaf]) => sum + each * leaf.size + path.length + 120, 0)
        + 1.1 * JSON.stringify(JSON.stringify(record)).length
        + JSON.stringify(checked.classes ?? '').length + 2048
    }
    return { ...withinBudget(ranking, size, bytes, 'bytes'), notes: [] }
  }
  return withinTime(ranking, model, { checked, input, found, chosen } as Job, ms! * batch, batch, talk)
}

/**
 * The table adds up layers measured apart; what it leaves out is made good by measuring its choice and correcting.
 * @throws InputError.
 */
async function withinTime(
  ranking: Ranking,
  model: Model,
  { input, found, chosen }: Job,
  most: number,
  batch: number,
  talk: Talk,
): Promise<{ plan: Plan, count: number, notes: string[] }> {
  const shape = [batch, ...input], each = (ms: number) => `${(ms / batch).toFixed(3)} ms`
  const progress = talk.progress('measuring widths', 1)
  const table = await latencyTable(model, found, chosen, shape, {
    onProgress: (done, total) => {
      progress.update(done / total)
    },
  }).finally(() => {
    progress.stop()
  })
  const notes = [`dense ${each(table.dense)} per image at batch ${batch}`]
  let fastest = Infinity
  for (let round = 0, factor = 1; round < 5; round++) {
    const choice = withinBudget(ranking, (plan) => factor * table.predict(plan) / batch, most / batch, 'ms per image')
    const predicted = table.predict(choice.plan), cuts = onlyCuts(choice.plan)
    const small = await sliceModel(model, [1, ...input], cuts, { found })
    const real = await forwardTime(small, shape)
    freeModel(small)
    notes.push(`chosen by the table for ${each(factor * predicted)}, measured ${each(real)}`)
    if (real <= most) return { ...choice, notes }
    fastest = Math.min(fastest, real)
    factor = Math.max(1.02 * factor, 1.01 * real / predicted)
  }
  throw new InputError(
    `--ms ${most / batch}: five plans were measured and the fastest took ${
      each(fastest)
    } per image; the device may be busy, or give it more time`,
  )
}

/** Cost, and with test images accuracy and time. */
async function figuresOf(
  model: Model,
  bytes: number,
  input: [number, number, number],
  test: Dataset | null,
  batch: number,
  talk: Talk,
  what: string,
): Promise<Figures> {
  const { params, macs } = costOf(model, input)
  if (!test) {
    const msPerImage = await forwardTime(model, [batch, ...input]) / batch
    return { params, macs, bytes, msPerImage, imagesPerSecond: 1000 / msPerImage }
  }
  const progress = talk.progress(what, test.length)
  const { predictions: _, ...found }: Evaluation = await evaluate(model, test, {
    batch,
    onProgress: (done) => {
      progress.update(done)
    },
  }).finally(() => {
    progress.stop()
  })
  return { ...found, params, macs, bytes }
}

async function finetune(
  model: Model,
  { checked, data }: Job,
  { finetune: epochs = 0, batch, rate, seed }: PruneOptions,
  talk: Talk,
): Promise<void> {
  const progress = talk.progress('fine-tuning', epochs * data.length)
  await fit(model, data, {
    epochs,
    batch,
    rate,
    seed,
    clip: 1,
    classes: checked.classCount,
    onStep: (images, loss, epoch) => {
      progress.update(epoch * data.length + images, `loss ${loss.toFixed(4)}`)
    },
  }).finally(() => {
    progress.stop()
  })
}

/** Logits of the first images, at most 32. */
async function logitsOf(model: Model, images: Dataset, batch: number, prepare?: () => void): Promise<Float32Array> {
  prepare?.()
  const rows: ArrayLike<number>[] = []
  for await (
    const part of images.batches({
      size: Math.min(batch, 32),
      only: Array.from({ length: Math.min(32, images.length) }, (_, i) => i),
    })
  ) {
    const input = tensor(part.images, part.shape), logits = lean(() => model.call(input))
    rows.push(await logits.data())
    disposeTree([input, logits])
  }
  return Float32Array.from(rows.flatMap((row) => Array.from(row)))
}

/** max|a - b| / max|b|; NaN if anything is not a number. */
function difference(a: Float32Array, b: Float32Array): number {
  let most = 0, largest = 0
  for (let i = 0; i < b.length; i++) {
    const apart = Math.abs(a[i] - b[i])
    if (!(apart <= Infinity)) return NaN
    most = Math.max(most, apart)
    largest = Math.max(largest, Math.abs(b[i]))
  }
  return most / (largest || 1)
}

/** SHA-256 over names and values of all scores. */
function digestOf(scores: Scores): string {
  const hash = createHash('sha256')
  for (const [name, values] of scores) {
    hash.update(name).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  return hash.digest('hex')
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
    `  ${before.msPerImage!.toFixed(2)} -> ${after.msPerImage!.toFixed(2)} ms per image`,
    `  read back and compared: largest difference ${error.toExponential(1)} of the largest logit`,
    ...notes.map((note) => `  ${note}`),
  ].join('\n')
}

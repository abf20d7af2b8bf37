// `espalier train`: from scratch or fine-tuning. A checkpoint and the state to go on from are written after every epoch.
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import type { Command } from 'commander'
import { type Architecture, buildModel, checkArchitecture, classesOf, entryOf, fitToData, parseArchitecture, preprocessingFor, startOf } from '../../models/registry.ts'
import { EspalierError, InputError } from '../errors.ts'
import { evaluate, type Model } from '../evaluation.ts'
import { copyInto } from '../fill.ts'
import { close, init } from '../gpu/device.ts'
import { type Augmentation, checkAugmentation } from '../io/augment.ts'
import { type CheckpointInfo, modelOf, type ParsedCheckpoint, parseCheckpoint, saveCheckpoint } from '../io/checkpoint.ts'
import { curveSVG, sparkline } from '../io/curve.ts'
import { type Dataset, openDataset, parseDataSpec } from '../io/datasets.ts'
import { nodeFiles } from '../io/files.ts'
import { writeOutput } from '../io/output.ts'
import { packageVersion } from '../io/package.ts'
import type { Preprocessing } from '../io/preprocess.ts'
import { type Course, encodeState, type EpochTest, parseState, stateFileOf } from '../io/training-state.ts'
import { costOf } from '../macs.ts'
import { initialize } from '../nn/init.ts'
import { withoutDevice } from '../tensor.ts'
import { fit } from '../training.ts'
import { disposeTree, leaves } from '../tree.ts'
import { type CommandSpec, type Talk, wholeNumber } from './command.ts'
import { addArch, addPreprocessing, type ArchOptions, large, numberWithin, percent, preprocessingWith, type PreprocessingOptions } from './model.ts'

interface TrainOptions extends ArchOptions, PreprocessingOptions {
  data: string
  test?: string
  out?: string
  classes?: number
  epochs: number
  batch: number
  rate: number
  warmup?: number
  decay: number
  clip: number
  smoothing: number
  ema?: number
  dropPath?: number
  padCrop?: number
  resizedCrop?: string
  flip?: number
  randAugment?: string
  erase?: number
  mixup?: number
  cutmix?: number
  resume?: boolean
  overwrite?: boolean
}

/** The command `espalier train <architecture or model> --data <data>`. */
export const train: CommandSpec<TrainOptions> = {
  name: 'train',
  summary: 'trains from scratch (an architecture) or fine-tunes (a file); a checkpoint after every epoch, --resume goes on to the same numbers',
  declare,
  async run(options, talk) {
    const plan = await prepare(options)
    const gpu = await init({ adapter: options.adapter, threads: options.threads })
    const interrupt = watchInterrupt()
    try {
      const outcome = await runPlan(plan, options, talk, interrupt.check)
      const { course, msPerImage, last } = outcome
      const json = { model: plan.out, architecture: plan.info.architecture, ...last, ...last && { images: plan.test!.length }, epochs: course.epoch, losses: course.losses,
        steps: course.steps, tests: course.tests, trained: plan.data.length, params: plan.cost.params, macs: plan.cost.macs, msPerImage, imagesPerSecond: 1000 / msPerImage,
        curve: plan.curve, seed: options.seed ?? 0, adapter: gpu.adapter.name, version: packageVersion() }
      return { json, text: [`loss ${sparkline(course.losses)} ${course.losses.at(-1)?.toFixed(4) ?? ''}`,
        ...last ? [`top-1 on ${plan.test!.length} test images: ${percent(last.top1)}`] : [],
        `${plan.out} (${large(plan.cost.params)} parameters), learning curve in ${plan.curve}`].join('\n') }
    } catch (error) {
      if (error instanceof Interrupted) talk.say(`train: ${error.message}`)
      throw error
    } finally {
      interrupt.release()
      await close()
      interrupt.passOn()
    }
  },
}

function declare(command: Command) {
  const share = numberWithin(0, 1)
  addPreprocessing(addArch(command.argument('<model>', 'an architecture (name or JSON) to train from scratch, or a .safetensors file to fine-tune')))
    .requiredOption('--data <data>', 'training images, as for eval')
    .option('--test <data>', 'images to test on after every epoch')
    .option('--out <file>', 'the checkpoint; beside it its .state.safetensors and its learning curve .svg (default: <architecture>.safetensors)')
    .option('--resume', 'go on where the run that wrote --out stopped, with the same recipe')
    .option('--overwrite', 'start anew although --out is there')
    .option('--classes <n>', 'number of classes (default: what the data show)', wholeNumber(1, 2 ** 20))
    .option('--epochs <n>', 'times through the data', wholeNumber(1, 100_000), 10)
    .option('--batch <n>', 'images per step', wholeNumber(1, 65536), 64)
    .option('--rate <x>', 'peak learning rate of AdamW; it falls along a cosine', numberWithin(0, 100), 1e-3)
    .option('--warmup <epochs>', 'epochs of linear warm-up (default: a tenth for transformers, else none)', numberWithin(0, 100_000))
    .option('--decay <x>', 'weight decay of matrices and kernels', numberWithin(0, 100), 0.05)
    .option('--clip <x>', 'greatest norm of the gradient', numberWithin(1e-6, 1e30), 1)
    .option('--smoothing <x>', 'label smoothing', numberWithin(0, 0.999), 0)
    .option('--ema <x>', 'keep a moving average of the weights with this factor, e.g. 0.999, and save and test that', numberWithin(0, 0.999999))
    .option('--drop-path <x>', 'stochastic depth of the last block (vit, swin)', numberWithin(0, 0.99))
    .option('--pad-crop <n>', 'pad by n pixels and cut a random window (CIFAR: 4)', wholeNumber(0, 1024))
    .option('--resized-crop <low,high>', 'random rectangle of this share of the area, resized, e.g. 0.08,1')
    .option('--flip <p>', 'probability of mirroring left to right', share)
    .option('--rand-augment <ops,magnitude>', 'RandAugment, e.g. 2,9')
    .option('--erase <p>', 'probability of random erasing', share)
    .option('--mixup <a>', 'mixup, parameter of its Beta distribution, e.g. 0.8', numberWithin(0, 100))
    .option('--cutmix <a>', 'cutmix, parameter of its Beta distribution, e.g. 1', numberWithin(0, 100))
}

interface Plan {
  data: Dataset
  test: Dataset | null
  info: CheckpointInfo
  /** The file to fine-tune. */
  start: ParsedCheckpoint | null
  classes: number
  augment: Augmentation
  warmup: number
  out: string
  curve: string
  cost: { params: number, macs: number }
  recipe: Record<string, unknown>
  stored: ReturnType<typeof parseState> | null
}

/** Checks everything that can be checked before a device is opened. */
async function prepare(options: TrainOptions & { args: string[] }): Promise<Plan> {
  const [name] = options.args
  const augment = augmentationOf(options)
  const start = /\.safetensors$/i.test(name) || await nodeFiles.exists(name) ? await parseCheckpoint(await nodeFiles.read(name), name, options) : null
  const given = start?.architecture ?? named(name, options.arch)
  const preprocessing = preprocessingWith(start?.preprocessing ?? await freshPreprocessing(given, options.data), options)
  const data = await openDataset(options.data, { preprocessing })
  const classes = options.classes ?? (given.classes as number | undefined ?? start?.classCount) ?? data.classes?.length ?? Math.max(...data.labels) + 1
  checkLabels(data, classes)
  const test = options.test === undefined ? null : await openDataset(options.test, { preprocessing, classes })
  const drop = options.dropPath === undefined ? {} : { dropPath: options.dropPath }
  const architecture = checkArchitecture({ ...fitToData(given, await data.inputShape(), classes), ...drop, ...start && start.classCount !== classes ? { classes } : {} }, name)
  const cost = costOf(withoutDevice(() => buildModel(architecture, name)), await data.inputShape())
  const out = options.out ?? `${architecture.type}.safetensors`
  const { family } = entryOf(architecture)
  const warmup = options.warmup ?? (family === 'vit' || family === 'swin' ? options.epochs / 10 : 0)
  const { epochs, batch, rate, decay, clip, smoothing, ema, seed = 0 } = options
  const recipe = { architecture, images: data.length, epochs, batch, rate, warmup, decay, clip, smoothing, ema: ema ?? null, seed, augment, preprocessing, start: start?.source.sha256 ?? null }
  const names = data.classes?.length === classes ? data.classes : start?.classCount === classes ? start.classes : undefined
  return { data, test, start, classes, augment, warmup, out, cost, recipe, curve: `${out.replace(/\.safetensors$/i, '')}.svg`, stored: await findState(options, out, recipe),
    info: { architecture, preprocessing, classes: names, source: start?.source, naming: 'espalier', metadata: {}, others: new Map() } }
}

function named(model: string, arch: string | undefined): Architecture {
  const given = { ...parseArchitecture(model, 'model'), ...arch === undefined ? {} : parseArchitecture(arch) }
  return checkArchitecture(given as Architecture, 'model')
}

/**
 * For pictures what the architecture wants. Data of one small size keep it, grey data stay grey, and both are normalised by the mean
 * and deviation of the training data themselves.
 */
async function freshPreprocessing(architecture: Architecture, spec: string): Promise<Preprocessing> {
  const { kind } = parseDataSpec(spec)
  const channels = (architecture.channels as number | undefined) ?? (kind === 'idx' ? 1 : 3)
  const usual = preprocessingFor(architecture, channels === 1 ? 1 : 3)
  if (kind === 'images' || kind === 'folder') return usual
  const plain = architecture.image === undefined ? { ...usual, resize: null, crop: null } : usual
  return { ...plain, ...await statisticsOf(await openDataset(spec, { preprocessing: { ...plain, mean: [0], std: [1] } })) }
}

/** Mean and standard deviation of each channel over at most 2,000 images, to four digits. */
async function statisticsOf(data: Dataset): Promise<{ mean: number[], std: number[] }> {
  const [channels] = await data.inputShape()
  const sums = new Float64Array(channels), squares = new Float64Array(channels)
  let count = 0
  for await (const { images, shape: [n, , height, width] } of data.batches({ size: 100 })) {
    const area = height * width
    images.forEach((value, i) => {
      const channel = Math.floor(i / area) % channels
      sums[channel] += value
      squares[channel] += value * value
    })
    count += n * area
    if (count >= 2000 * area) break
  }
  const digits = (value: number) => Number(value.toFixed(4))
  const mean = Array.from(sums, (sum) => sum / count)
  return { mean: mean.map(digits), std: mean.map((m, c) => Math.max(1e-4, digits(Math.sqrt(Math.max(0, squares[c] / count - m * m))))) }
}

function checkLabels({ name, labels }: Dataset, classes: number) {
  const at = labels.findIndex((label) => label >= classes)
  if (at >= 0) throw new InputError(`${name}: image ${at} has label ${labels[at]}, expected 0 to ${classes - 1}; give --classes`)
}

function augmentationOf({ padCrop, resizedCrop, flip, randAugment, erase, mixup, cutmix }: TrainOptions): Augmentation {
  const pair = (name: string, text: string | undefined): [number, number] | undefined => {
    if (text === undefined) return undefined
    const numbers = text.split(',').map(Number)
    if (numbers.length !== 2 || !numbers.every(Number.isFinite) || /(^|,)\s*(,|$)/.test(text)) throw new InputError(`--${name} ${text}: expected two numbers with a comma`)
    return numbers as [number, number]
  }
  const strength = pair('rand-augment', randAugment), share = pair('resized-crop', resizedCrop)
  const all: Augmentation = { padCrop, resizedCrop: share, flip, randAugment: strength && { ops: strength[0], magnitude: strength[1] }, erase, mixup, cutmix }
  const augment = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Augmentation
  checkAugmentation(augment)
  return augment
}

/** The state to go on from, if there is one and it was asked for. @throws InputError rather than replace or change a run. */
async function findState({ resume, overwrite }: TrainOptions, out: string, recipe: Record<string, unknown>): Promise<Plan['stored']> {
  const file = stateFileOf(out)
  if (!resume) {
    if (!overwrite && existsSync(out)) throw new InputError(`${out}: there is a checkpoint already; --resume goes on with it, --overwrite replaces it, --out names another`)
    return null
  }
  if (!existsSync(file)) {
    if (existsSync(out)) throw new InputError(`${file}: --resume needs it beside ${out}, found none; train from ${out} with another --out`)
    return null
  }
  const stored = parseState(await nodeFiles.read(file), file)
  for (const [key, value] of Object.entries(recipe)) {
    const before = JSON.stringify(stored.course.recipe[key]), now = JSON.stringify(value)
    if (before !== now) throw new InputError(`${file}: the run had ${key} ${before}, expected the same, found ${now}; resume with the old flags or start anew with another --out`)
  }
  return stored
}

async function runPlan(plan: Plan, options: TrainOptions, talk: Talk, check: (epoch: number) => void) {
  const { data, test, info, augment, classes, stored, out, recipe } = plan
  const { epochs, batch, rate, decay, clip, smoothing, ema, seed = 0 } = options
  const model = startingModel(plan, seed, talk)
  const tests: EpochTest[] = stored ? [...stored.course.tests] : []
  let progress = talk.progress('', 1), shown = -1, seen = 0
  progress.stop()
  const begin = performance.now()
  let testing = 0
  const onStep = (images: number, loss: number, epoch: number) => {
    if (epoch !== shown) progress = talk.progress(`epoch ${epoch + 1}/${epochs}`, data.length)
    shown = epoch
    progress.update(images, `loss ${loss.toFixed(4)}`)
    seen = (epoch - (stored?.course.epoch ?? 0)) * data.length + images
    check(epoch)
  }
  const state = await fit(model, data, {
    epochs, batch, rate, warmup: plan.warmup, decay, clip, smoothing, seed, augment, classes, average: ema, onStep,
    resume: stored ? { epoch: stored.course.epoch, load: (fresh) => {
      stored.restore(model, fresh)
      fresh.losses.push(...stored.course.losses)
      fresh.steps.push(...stored.course.steps)
    } } : undefined,
    async onEpoch(now) {
      progress.stop()
      const start = performance.now(), best = now.average ?? model
      if (test) {
        const { top1, top5, loss } = await evaluate(best, test, { batch, onProgress: () => { check(now.epoch) } })
        tests.push({ top1, top5, loss })
      }
      const { epoch, losses, steps } = now
      await saveCheckpoint(out, best, info)
      writeOutput(stateFileOf(out), await encodeState(model, now, { epoch, losses, steps, tests, recipe }))
      writeOutput(plan.curve, curve(`${info.architecture.type} on ${data.length} images of ${basename(data.name.split(',')[0])}`, losses, tests))
      testing += performance.now() - start
      talk.say(`epoch ${epoch}/${epochs}  loss ${losses.at(-1)!.toFixed(4)}${test ? `  top-1 ${percent(tests.at(-1)!.top1)}` : ''}  ${sparkline(losses)}`)
    },
  }).finally(() => { progress.stop() })
  const course: Course = { epoch: state.epoch, losses: state.losses, steps: state.steps, tests, recipe }
  return { course, last: tests.at(-1), msPerImage: seen ? (performance.now() - begin - testing) / seen : 0 }
}

/** A fresh model, or the file's; where the number of classes differs, all weights of equal shape are taken over. */
function startingModel({ start, info: { architecture }, classes, stored }: Plan, seed: number, talk: Talk): Model {
  if (start && start.classCount === classes) return modelOf({ ...start, architecture })
  const model = initialize(buildModel(architecture), seed, startOf(architecture))
  if (!start) return model
  const old = modelOf(start), from = new Map(leaves(old))
  const fresh = leaves(model).flatMap(([path, leaf]) => {
    const given = from.get(path)
    if (given?.shape.join() !== leaf.shape.join()) return [path]
    copyInto(given, leaf)
    return []
  })
  disposeTree(old)
  if (!stored) talk.say(`train: ${classes} classes instead of ${classesOf(old)}, so these start anew: ${fresh.join(', ')}`)
  return model
}

function curve(title: string, losses: readonly number[], tests: readonly EpochTest[]): string {
  return curveSVG(title, [{ name: 'training', values: losses, colour: '#1f6fb4' }, { name: 'test', values: tests.map(({ loss }) => loss), colour: '#d1661b' }],
    [{ name: 'test top-1', values: tests.map(({ top1 }) => top1), colour: '#d1661b' }])
}

/** Ctrl-C during training. */
class Interrupted extends EspalierError {}

/** The first Ctrl-C ends the run between two steps, with everything in place; a second one ends the process at once. */
function watchInterrupt() {
  let stopped = false
  const stop = () => { stopped = true }
  process.once('SIGINT', stop)
  return {
    check(epoch: number) {
      if (stopped) throw new Interrupted(`interrupted in epoch ${epoch + 1}; the same command with --resume goes on from ${epoch ? `the end of epoch ${epoch}` : 'the start'}`)
    },
    release() { process.off('SIGINT', stop) },
    /** Ends by the signal itself, so that a shell's loop stops as well. */
    passOn() { if (stopped) process.kill(process.pid, 'SIGINT') },
  }
}

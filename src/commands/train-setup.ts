// What `espalier train` is about to do, with everything checked that can be checked before a device is opened.
import { existsSync } from 'node:fs'
import { type Architecture, buildModel, checkArchitecture, entryOf, fitToData, inputOf, parseArchitecture,
  preprocessingFor, startOf } from '../../models/registry.ts'
import { InputError } from '../base/errors.ts'
import { type Augmentation, checkAugmentation } from '../data/augment.ts'
import { type CheckpointInfo, type ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { withPacked } from '../checkpoint/packed.ts'
import { type Dataset, openDataset, parseDataSpec, pictureName } from '../data/datasets.ts'
import { classesNamed } from '../data/class-names.ts'
import { nodeFiles } from '../files/files.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import { parseState, stateFileOf, type StoredState } from '../train/state.ts'
import { type Cost, costOf } from '../nn/macs.ts'
import type { Scheme } from '../nn/init.ts'
import { withoutDevice } from '../core/tensor.ts'
import { claimOutputs, derived, filesRead } from './claims.ts'
import { dataDigest } from './result-folder.ts'
import { plain } from '../base/quote.ts'
import type { SparsityOptions } from '../train/sparsity.ts'
import { type PatternFlags, sparsityOf, sparsityRecipe } from './train-pattern.ts'
import { checkStatistics, openCheckpoint, openLabelled, type Say } from './open.ts'
import { type ArchOptions, preprocessingWith, type PreprocessingOptions } from './model.ts'

/** Flags of `train`, as commander gives them. */
export interface TrainOptions extends ArchOptions, PreprocessingOptions, PatternFlags {
  data: string
  test?: string
  out?: string
  image?: number
  classes?: number
  epochs: number
  batch: number
  rate: number
  warmup?: number
  decay: number
  clip: number
  smoothing: number
  start?: 'normal' | 'fan-in' | 'kaiming' | 'mimetic'
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

/** A checked training. */
export interface TrainingSetup {
  data: Dataset
  test: Dataset | null
  info: CheckpointInfo
  /** The file to fine-tune. */
  start: ParsedCheckpoint | null
  classes: number
  /** How weights start that come from no file. */
  scheme: Scheme
  augment: Augmentation
  warmup: number
  out: string
  curve: string
  cost: Cost
  recipe: Record<string, unknown>
  stored: StoredState | null
  /** How weights become sparse, if they do. */
  sparsity: SparsityOptions | null
  input: readonly [number, number, number]
}

/** Reads and checks model, data, recipe and the state to go on from. @throws InputError. */
export async function prepare(
  options: TrainOptions & { args: string[] },
  reporter?: Say,
): Promise<TrainingSetup> {
  const [name] = options.args
  const augment = augmentationOf(options)
  const isFile = /\.safetensors$/i.test(name) || await nodeFiles.exists(name)
  const start = isFile ? await openCheckpoint(name, options, reporter) : null
  if (start) checkStatistics(start, options)
  const known = start?.architecture ?? named(name, options.arch)
  const given = options.image === undefined ? known : withImage(known, options.image, start)
  const usual = start?.preprocessing ?? await freshPreprocessing(given, options.data)
  const preprocessing = preprocessingWith(
    options.image === undefined ? usual : preparedAt(usual, options.image, options.data),
    options,
  )
  // Classes of the same names as the file's keep their places, and with them the classifier.
  const data = await openTraining(options.data, preprocessing, start, options.classes, reporter)
  const classes = options.classes ?? (given.classes as number | undefined ?? start?.classCount)
    ?? data.classes?.length ?? Math.max(...data.labels) + 1
  if (classes < 2) {
    throw new InputError(
      `${data.name}: one class leaves nothing to tell apart, expected at least two; check the folder, `
        + 'or give --classes',
    )
  }
  checkLabels(data, classes)
  const test = options.test === undefined ? null : await openLabelled(
    options.test,
    { classes: data.classes?.length === classes ? data.classes : start?.classes, classCount: classes },
    preprocessing,
    reporter,
  )

  const input = await data.inputShape()
  const newHead = start && start.classCount !== classes ? { classes } : {}
  const drop = options.dropPath === undefined ? {} : { dropPath: options.dropPath }
  const architecture = checkArchitecture({ ...fitToData(given, input, classes), ...newHead, ...drop }, name)
  const whole = () => withPacked(buildModel(architecture, name), start)
  const shape = start?.pruning ? start.shape : withoutDevice(whole), cost = costOf(shape, input)
  const sparsity = await sparsityOf(options, () => shape, input)

  const { family } = entryOf(architecture)
  const warmup = options.warmup ?? (['vit', 'swin', 'pvt'].includes(family) ? options.epochs / 10 : 0)
  const { epochs, batch, rate, decay, clip, smoothing, ema = null, seed = 0 } = options
  const scheme = options.start === undefined
    ? startOf(architecture)
    : options.start === 'normal'
    ? { std: 0.02 }
    : options.start
  const recipe = {
    architecture,
    images: data.length,
    epochs,
    batch,
    rate,
    warmup,
    decay,
    clip,
    smoothing,
    ema,
    seed,
    augment,
    preprocessing,
    scheme,
    start: start?.source.sha256 ?? null,
    data: dataDigest(data),
    test: dataDigest(test),
    sparsity: sparsityRecipe(sparsity),
  }
  const out = options.out ?? `${architecture.type}.safetensors`
  const curve = `${out.replace(/\.safetensors$/i, '')}.svg`
  const stored = await findState(options, out, recipe)
  // What a run to go on from has written is its own.
  claimOutputs(
    [
      { flag: '--out', path: out },
      derived('--out', stateFileOf(out), 'the state of the run'),
      derived('--out', curve, 'the learning curve'),
    ],
    filesRead({ model: name, data, test, pattern: options.pattern }),
    options.overwrite === true || stored !== null,
  )
  const names = data.classes?.length === classes
    ? data.classes
    : start?.classCount === classes
    ? start.classes
    : undefined
  if ((start?.pruning || start?.packed.size) && start.classCount !== classes) {
    throw new InputError(
      `${name}: a pruned network keeps its ${start.classCount} classes, `
        + `the data or --classes ask for ${classes}; train the new classes first and prune then`,
    )
  }
  // Data of one size that need no resizing tell what size photographs are brought to later.
  const unsized = preprocessing.resize === null && preprocessing.crop === null && input[1] === input[2]
  const info = {
    pruning: start?.pruning,
    sparsity: start?.sparsity,
    architecture,
    preprocessing: unsized ? { ...preprocessing, resize: input[1], crop: input[1] } : preprocessing,
    classes: names,
    source: start?.source,
    naming: 'espalier',
    metadata: {},
    others: new Map(),
  }
  return {
    data,
    test,
    start,
    classes,
    scheme,
    augment,
    warmup,
    out,
    cost,
    recipe,
    stored,
    info,
    curve,
    sparsity,
    input,
  }
}

function named(model: string, arch: string | undefined): Architecture {
  const given = { ...parseArchitecture(model, 'model'), ...arch === undefined ? {} : parseArchitecture(arch) }
  return checkArchitecture(given as Architecture, 'model')
}

/** The architecture for images of another side. @throws InputError where its images have no side of their own. */
function withImage(architecture: Architecture, image: number, start: ParsedCheckpoint | null): Architecture {
  const { family } = entryOf(architecture)
  if (!['vit', 'swin', 'pvt'].includes(family)) {
    throw new InputError(
      `--image ${image}: a ${architecture.type} has no position tables, and takes what --resize and --crop make; `
        + 'expected a vit, swin or pvt',
    )
  }
  if (start?.pruning && inputOf(architecture)[1] !== image) {
    throw new InputError(
      `--image ${image}: ${start.name} is pruned and keeps its images of ${inputOf(architecture)[1]}; `
        + 'train the new size first and prune then',
    )
  }
  return { ...architecture, image }
}

/**
 * Pictures are cut to the new side out of a margin in the old proportion; data of one small size are resized to it.
 */
function preparedAt(usual: Preprocessing, image: number, spec: string): Preprocessing {
  const { resize, crop } = usual, pictures = ['images', 'folder'].includes(parseDataSpec(spec).kind)
  return { ...usual, crop: image, resize: pictures && resize && crop ? Math.round(resize * image / crop) : image }
}

/** The training images; by the names of the file's classes where the data have no others. */
async function openTraining(
  spec: string,
  preprocessing: Preprocessing,
  start: ParsedCheckpoint | null,
  classes: number | undefined,
  reporter?: Say,
): Promise<Dataset> {
  const plain = await openDataset(spec, { preprocessing })
  const known = start?.classes, own = plain.classes
  const isPart = known && own && (classes ?? start.classCount) === start.classCount
    && own.every((name) => classesNamed(name, known).length > 0)
  const set = isPart
    ? await openDataset(spec, { preprocessing, classes: { count: known.length, names: known } })
    : plain
  for (const note of set.notes ?? []) reporter?.say(note)
  return set
}

/**
 * For pictures what the architecture wants. Data of one small size keep it, grey data stay grey, and both are
 * normalised by the mean and deviation of the training data themselves; floats are taken as they are, so that a network
 * trained on them says that nothing is subtracted.
 */
async function freshPreprocessing(architecture: Architecture, spec: string): Promise<Preprocessing> {
  const { kind } = parseDataSpec(spec)
  const channels = (architecture.channels as number | undefined) ?? (kind === 'idx' ? 1 : 3)
  const usual = preprocessingFor(architecture, channels === 1 ? 1 : 3)
  if (kind === 'images' || kind === 'folder') return usual
  const plain = architecture.image === undefined ? { ...usual, resize: null, crop: null } : usual
  const untouched = { ...plain, mean: [0], std: [1] }, set = await openDataset(spec, { preprocessing: untouched })
  return set.normalised === undefined ? { ...plain, ...await statisticsOf(set) } : untouched
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
  return {
    mean: mean.map(digits),
    std: mean.map((m, c) => Math.max(1e-4, digits(Math.sqrt(Math.max(0, squares[c] / count - m * m))))),
  }
}

function checkLabels(data: Dataset, classes: number) {
  const { labels } = data, at = labels.findIndex((label) => label >= classes)
  if (at >= 0) {
    throw new InputError(
      `${pictureName(data, at)} has label ${labels[at]}, expected 0 to ${classes - 1}; give --classes`,
    )
  }
}

function augmentationOf({ padCrop, resizedCrop, flip, randAugment, erase, mixup, cutmix }: TrainOptions): Augmentation {
  const pair = (name: string, text: string | undefined): [number, number] | undefined => {
    if (text === undefined) return undefined
    const numbers = text.split(',').map(Number)
    if (numbers.length !== 2 || !numbers.every(Number.isFinite) || /(^|,)\s*(,|$)/.test(text)) {
      throw new InputError(`--${name} ${text}: expected two numbers with a comma`)
    }
    return numbers as [number, number]
  }
  const strength = pair('rand-augment', randAugment), share = pair('resized-crop', resizedCrop)
  const all: Augmentation = {
    padCrop,
    resizedCrop: share,
    flip,
    erase,
    mixup,
    cutmix,
    randAugment: strength && { ops: strength[0], magnitude: strength[1] },
  }
  const augment = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Augmentation
  checkAugmentation(augment)
  return augment
}

/**
 * The state to go on from, if there is one and it was asked for. @throws InputError rather than replace or change a
 * run.
 */
async function findState(
  options: TrainOptions,
  out: string,
  recipe: Record<string, unknown>,
): Promise<TrainingSetup['stored']> {
  const file = stateFileOf(out)
  if (!options.resume) {
    if (!options.overwrite && existsSync(out)) {
      throw new InputError(
        `${out}: there is a checkpoint already; --resume goes on with it, --overwrite replaces it, --out names another`,
      )
    }
    return null
  }
  if (!existsSync(file)) {
    if (existsSync(out)) {
      throw new InputError(`${file}: --resume needs it beside ${out}, found none; train from ${out} with another --out`)
    }
    return null
  }
  const stored = parseState(await nodeFiles.read(file), file)
  for (const [key, value] of Object.entries(recipe)) {
    const before = JSON.stringify(stored.history.recipe[key]), now = JSON.stringify(value)
    if (before === now) continue
    if (key === 'data' || key === 'test') {
      if (before === undefined) continue // written before states knew their data
      throw new InputError(
        `${file}: the run had other images as --${key} (by their content and labels) than ${
          plain(options[key] ?? 'none')
        }; give those of the run, or start anew with another --out`,
      )
    }
    throw new InputError(
      `${file}: the run had ${key} ${before}, expected the same, found ${now}; `
        + 'resume with the old flags or start anew with another --out',
    )
  }
  return stored
}

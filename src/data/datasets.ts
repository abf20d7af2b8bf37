// `<data>` of the command line, opened and cut into batches: cifar10:, idx:, images:, folder:, tensors:, each with an
// optional #first-last (zero-based, both ends included). Pictures are decoded ahead while the device works.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { InputError } from '../base/errors.ts'
import { permutation } from '../base/random.ts'
import { type Augmentation, augmentPixels, checkAugmentation, drawFor, erase, mixBatch } from './augment.ts'
import { bytesOf } from '../files/bytes.ts'
import { type Files, nodeFiles } from '../files/files.ts'
import { checkStart } from '../files/safetensors.ts'
import type { Pixels } from './images.ts'
import { checkPreprocessing, normalise, type Preprocessing, shape } from './preprocess.ts'
import { folderSource } from './folder.ts'
import { labelsFor, type NetworkClasses } from './class-names.ts'
import { cifarSource, type Floats, idxSource, listSource, parent, readClasses, type Source,
  tensorSource } from './sources.ts'

/** What `batches` takes. */
export const batchKeys: OptionKeys<BatchOptions> = {
  size: true,
  seed: true,
  epoch: true,
  shuffle: true,
  only: true,
  dropLast: true,
  augment: true,
  classes: true,
  prefetch: true,
}

const openKeys: OptionKeys<OpenOptions> = { preprocessing: true, classes: true, files: true }

/** One batch: images [n, c, h, w] ready for the network, labels [n], positions in the data set [n]. */
export interface Batch {
  images: Float32Array
  shape: [n: number, channels: number, height: number, width: number]
  labels: Int32Array
  indices: Int32Array
  /** [n, classes], where mixup or cutmix made labels soft. */
  soft?: Float32Array
}

/** How `batches` goes through a data set. */
export interface BatchOptions {
  size: number
  /** Order and augmentation are functions of seed and epoch alone, so a resumed run sees what it would have seen. */
  seed?: number
  epoch?: number
  shuffle?: boolean
  /** Only these positions, in this order (before `shuffle`); nothing else is read. */
  only?: ArrayLike<number>
  /** Leaves out a last batch that is not full. */
  dropLast?: boolean
  augment?: Augmentation
  /** Width of soft labels; needed for mixup and cutmix where the data set does not know its classes. */
  classes?: number
  /** How many batches are made ahead (2). */
  prefetch?: number
}

/** An opened data set. */
export interface Dataset {
  name: string
  length: number
  labels: Int32Array
  classes?: string[]
  /** What was left out of it, or how its labels were found; a sentence each, for the user. */
  notes?: readonly string[]
  preprocessing: Preprocessing
  /**
   * How its images are stored where they are floats, `F32` for instance: they are taken as already normalised, and
   * `preprocessing` is not applied.
   */
  normalised?: string
  /** The files that it is read from: lists, and those of its own images. Absent for images in memory. */
  files?: readonly string[]
  /** What the picture at a position is called: its file, or the file that holds it and its place there. */
  nameOf?(index: number): string
  /** Where its slice begins among the images of those files; 0, or absent, for all and for images in memory. */
  first?: number
  /** [channels, height, width] of the inputs, read off the first picture. */
  inputShape(): Promise<[number, number, number]>
  /** Goes through the data once. Throws InputError on the first picture that cannot be read. */
  batches(options: BatchOptions): AsyncGenerator<Batch>
}

/** The name of a picture in messages and reports, also where a data set of the user's own has no names. */
export const pictureName = ({ name, nameOf }: Pick<Dataset, 'name' | 'nameOf'>, index: number): string =>
  nameOf?.(index) ?? `${name}: image ${index}`

/** Options of `openDataset`. */
export interface OpenOptions {
  preprocessing: Preprocessing
  /**
   * The classes the network tells apart, or their number: labels beyond it are refused, and labels are found by name
   * where both network and data name their classes.
   */
  classes?: number | NetworkClasses
  /** Where files come from; Node's file system if absent. */
  files?: Files
}

/** A parsed `<data>`. */
export interface DataSpec {
  kind: 'cifar10' | 'idx' | 'images' | 'folder' | 'tensors'
  paths: string[]
  slice: [first: number, last: number] | null
}

const FORMS = 'cifar10:<file.bin>[,<file.bin>…], idx:<images.gz>,<labels.gz>, images:<list.json>, folder:<dir> '
  + 'or tensors:<file.safetensors>'

/** Splits a `<data>` argument. Throws InputError that lists the forms. */
export function parseDataSpec(text: string): DataSpec {
  const [, kind, rest] = /^(cifar10|idx|images|folder|tensors):(.+)$/s.exec(text) ?? []
  if (!kind) throw new InputError(`data ${JSON.stringify(text)}: expected ${FORMS}`)
  const hash = rest.lastIndexOf('#'), tail = hash < 0 ? '' : rest.slice(hash + 1)
  const numbers = /^(\d+)-(\d+)$/.exec(tail)
  // a file name may hold a #, a slice holds no dot and no slash
  if (hash >= 0 && !numbers && !/[./\\]/.test(tail)) {
    throw new InputError(
      `data ${JSON.stringify(text)}: the slice #${tail} must read #first-last, zero-based, both included, `
        + 'e.g. #0-99',
    )
  }
  const slice: [number, number] | null = numbers ? [Number(numbers[1]), Number(numbers[2])] : null
  if (slice && slice[0] > slice[1]) {
    throw new InputError(`data ${JSON.stringify(text)}: the slice #${tail} ends before it starts; swap the two`)
  }
  const body = numbers ? rest.slice(0, hash) : rest
  const paths = kind === 'cifar10' || kind === 'idx' ? body.split(',') : [body]
  if (paths.some((path) => path === '') || kind === 'idx' && paths.length !== 2) {
    throw new InputError(
      `data ${JSON.stringify(text)}: `
        + `${kind === 'idx' ? 'idx needs two files, images and labels' : 'a file name is missing'}; expected ${FORMS}`,
    )
  }
  return { kind: kind as DataSpec['kind'], paths, slice }
}

/** Opens a `<data>`: reads and checks its index and labels; pictures are decoded when asked for. Throws InputError. */
export async function openDataset(spec: string | DataSpec, options: OpenOptions): Promise<Dataset> {
  checkOptions('openDataset', options, openKeys)
  const { preprocessing, files = nodeFiles } = options
  const network = typeof options.classes === 'number' ? { count: options.classes } : options.classes ?? {}
  const { kind, paths, slice } = typeof spec === 'string' ? parseDataSpec(spec) : spec
  const found = await openSource(kind, paths, files)
  const source = { ...found, ...labelsFor(found, network) }
  const { labels, classCount } = source, count = labels.length
  if (slice && slice[1] >= count) {
    throw new InputError(
      `${source.name}: the slice #${slice[0]}-${slice[1]} reaches beyond the ${count} images; `
        + `the last one is ${count - 1}`,
    )
  }
  const most = network.count ?? classCount ?? Infinity, [first, last] = slice ?? [0, count - 1]
  for (let i = first; i <= last; i++) {
    if (labels[i] >= most) {
      throw new InputError(
        `${source.item(i)}: label ${labels[i]}, expected 0 to ${most - 1}; `
          + 'the data does not belong to this network',
      )
    }
  }
  const pictures = kind === 'images' || kind === 'folder'
    ? Array.from({ length: last - first + 1 }, (_, i) => source.item(first + i))
    : []
  const read = kind === 'folder' ? pictures : [...paths, ...pictures]
  return { ...datasetOf(source, first, last - first + 1, preprocessing), files: read }
}

async function openSource(kind: DataSpec['kind'], paths: string[], files: Files): Promise<Source> {
  const named = (check?: (start: Uint8Array, size: number, name: string) => void) =>
    Promise.all(paths.map((name) => bytesOf(name, files, name, check)))
  switch (kind) {
    case 'cifar10':
      return cifarSource(await named(), await namesFor(paths[0], files, 10))
    case 'idx': {
      const [images, labels] = await named()
      return idxSource(images, labels)
    }
    case 'images':
      return listSource(paths[0], files)
    case 'folder':
      return folderSource(paths[0].replace(/(.)\/+$/, '$1'), files)
    case 'tensors':
      return tensorSource((await named(checkStart))[0], await namesFor(paths[0], files))
  }
}

// Class names beside a data file; a list of another length belongs to something else and is left alone.
async function namesFor(path: string, files: Files, count?: number): Promise<string[] | undefined> {
  const found = await readClasses(parent(path), files)
  return found && (count === undefined || found.names.length === count) ? found.names : undefined
}

/** As many images as a batch usually has. */
const FIRST_IMAGES = 16

/** A word where the first images are floats that look like pixels of 0..1 or 0..255 and the network wants others. */
function oddValues(source: Source, first: number, length: number, { mean, std }: Preprocessing): string[] {
  const count = Math.min(length, FIRST_IMAGES)
  let least = Infinity, most = -Infinity
  for (let i = first; i < first + count; i++) {
    for (const value of (source.load(i) as Floats).data) {
      if (value < least) least = value
      if (value > most) most = value
    }
  }
  // What a black and a white pixel become: a network may well read 0..1, or 0..255.
  const ends = [0, 1].flatMap((pixel) =>
    Array.from(
      { length: Math.max(mean.length, std.length) },
      (_, c) => (pixel - mean[c % mean.length]) / std[c % std.length],
    )
  )
  const unit = least >= 0 && most <= 1 && Math.min(...ends) < 0
  const far = Math.max(-least, most) > Math.max(20, 1.001 * Math.max(...ends.map(Math.abs)))
  if (!unit && !far) return []
  const range = `${Number(least.toPrecision(4))} to ${Number(most.toPrecision(4))}`
  return [
    `${source.name}: tensors of ${source.normalised} are taken as already normalised, and the values of the first `
    + `${
      count === 1 ? 'image' : `${count} images`
    } go from ${range}; normalised values were expected: subtract the mean `
    + 'and divide by the deviation, or store pixels as U8',
  ]
}

function datasetOf(source: Source, first: number, length: number, preprocessing: Preprocessing): Dataset {
  checkPreprocessing(preprocessing, source.name)
  const labels = source.labels.subarray(first, first + length)
  const odd = source.normalised === undefined ? [] : oddValues(source, first, length, preprocessing)
  let known: [number, number, number] | undefined

  type Varied = Pick<BatchOptions, 'augment' | 'seed' | 'epoch'>
  const prepare = async (index: number, { augment, seed = 0, epoch = 0 }: Varied): Promise<Pixels | Floats> => {
    const loaded = await source.load(first + index), name = source.item(first + index)
    if (loaded.data instanceof Float32Array) {
      if (augment?.padCrop || augment?.flip || augment?.randAugment || augment?.resizedCrop) {
        throw new InputError(`${name}: float images take no crop, flip or RandAugment; store them as U8`)
      }
      return loaded as Floats
    }
    const p = preprocessing, image = loaded as Pixels
    const fits = source.prepared && image.width === p.crop && image.height === p.crop
    const shaped = () => shape(image, fits ? { ...p, resize: null } : p, name)
    if (!augment) return shaped()
    const draw = drawFor(seed, epoch, index)
    if (augment.resizedCrop) {
      return shape(
        augmentPixels(image, augment, draw, p.crop, p.interpolation),
        { ...p, resize: null, crop: null },
        name,
      )
    }
    return augmentPixels(shaped(), augment, draw, null, p.interpolation)
  }

  const checkShape = (image: Pixels | Floats, index: number) => {
    const found: [number, number, number] = [image.channels, image.height, image.width]
    known ??= found
    if (found.some((d, i) => d !== known![i])) {
      throw new InputError(
        `${source.item(first + index)}: its input is [${found}], that of the others [${known}]; `
          + 'give --resize and --crop',
      )
    }
  }

  const makeBatch = async (indices: Int32Array, options: BatchOptions, number: number): Promise<Batch> => {
    const { seed = 0, epoch = 0, augment } = options
    const pictures = await mapLimited(indices, 8, (index) => prepare(index, options))
    pictures.forEach((picture, i) => checkShape(picture, indices[i]))
    const [channels, height, width] = known!, size = channels * height * width
    const images = new Float32Array(indices.length * size), chosen = Int32Array.from(indices, (index) => labels[index])
    pictures.forEach((picture, i) => {
      if (picture.data instanceof Float32Array) images.set(picture.data, i * size)
      else normalise(picture as Pixels, preprocessing, images, i * size)
      if (augment?.erase) erase(images, i * size, known!, augment.erase, drawFor(seed + 1, epoch, indices[i]))
    })
    const batch: Batch = { images, shape: [indices.length, channels, height, width], labels: chosen, indices }
    if (augment?.mixup || augment?.cutmix) {
      batch.soft = mixBatch(images, batch.shape, chosen, softWidth(options), augment, drawFor(seed + 2, epoch, number))
    }
    return batch
  }

  const softWidth = (options: BatchOptions) => {
    const width = options.classes ?? source.classCount
    if (width === undefined) {
      throw new InputError(`${source.name}: mixup and cutmix need the number of classes; give it`)
    }
    return width
  }

  return {
    name: source.name,
    length,
    first,
    labels,
    classes: source.classes,
    notes: odd.length > 0 ? [...source.notes ?? [], ...odd] : source.notes,
    preprocessing,
    ...source.normalised !== undefined && { normalised: source.normalised },
    nameOf: (index) => source.item(first + index),
    async inputShape() {
      if (!known) checkShape(await prepare(0, {}), 0)
      return known!
    },
    async *batches(options) {
      checkOptions('batches', options, batchKeys)
      const { size, seed = 0, epoch = 0, shuffle = false, dropLast = false, prefetch = 2, only } = options
      const some = Int32Array.from(only ?? { length }, (_, i) => only?.[i] ?? i)
      if (!(Number.isInteger(size) && size >= 1)) {
        throw new InputError(`batch size must be a whole number from 1, got ${size}`)
      }
      if (options.augment) checkAugmentation(options.augment)
      const order = shuffle ? permutation(some.length, seed, `order ${epoch}`).map((i) => some[i]) : some
      const total = dropLast ? Math.floor(some.length / size) : Math.ceil(some.length / size)
      if (total === 0) {
        throw new InputError(
          `${source.name}: ${some.length} images do not fill one batch of ${size}; make batches smaller`,
        )
      }
      const queue: Promise<Batch>[] = []
      for (let next = 0, done = 0; done < total; done++) {
        while (next < total && queue.length <= prefetch) {
          const made = makeBatch(order.slice(next * size, (next + 1) * size), options, next++)
          made.catch(() => {}) // it is reported when its turn comes, or dropped with the generator
          queue.push(made)
        }
        yield await queue.shift()!
      }
    },
  }
}

// Like Promise.all over a map, with at most `limit` under way: a batch of thousands must not open thousands of files.
async function mapLimited<R>(indices: Int32Array, limit: number, make: (index: number) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(indices.length)
  let next = 0
  const work = async () => {
    while (next < indices.length) {
      const i = next++
      results[i] = await make(indices[i])
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, indices.length) }, work))
  return results
}

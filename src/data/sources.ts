// Data sets as sequences of pictures with labels, one function per file format. Each checks its whole index on opening
// and decodes pictures only when they are asked for. Everything here takes bytes, or a `Files` to read them from.
import { sizeOf } from '../base/shape.ts'
import { InputError } from '../base/errors.ts'
import type { Files } from '../files/files.ts'
import { type Pixels, readPicture } from './images.ts'
import { parseSafetensors } from '../files/safetensors.ts'

/** Float planes that need no preprocessing any more, [channels, height, width]. */
export interface Floats {
  width: number
  height: number
  channels: number
  data: Float32Array
}

/** A labelled sequence of pictures, before preprocessing. */
export interface Source {
  name: string
  labels: Int32Array
  classes?: string[]
  /** Other names of the classes, WordNet ids for instance. */
  ids?: string[]
  /** Labels stand for nothing but the order of the folders' names. */
  sortedNames?: boolean
  /** Folders of which nothing is read. */
  empty?: string[]
  /** What was left out or is worth knowing, a sentence each. */
  notes?: string[]
  /** How many classes the format or the folder defines; absent where labels are only known to be integers. */
  classCount?: number
  /** Pictures of the network's own size are final: they were resized and cropped before they were stored. */
  prepared?: boolean
  /** How images are stored that are floats and fed as they are, `F32` for instance. */
  normalised?: string
  /** Name of one item in messages. */
  item(index: number): string
  load(index: number): Pixels | Floats | Promise<Pixels>
}

/** A file's content with the name errors use. */
export interface NamedBytes {
  name: string
  bytes: Uint8Array
}

const CIFAR_RECORD = 3073

/**
 * CIFAR-10 binary: records of a label byte and 3 x 32 x 32 bytes. Throws InputError for a partial record or a label
 * above 9.
 */
export function cifarSource(parts: NamedBytes[], classes?: string[]): Source {
  const counts = parts.map(({ name, bytes }) => {
    if (bytes.length === 0 || bytes.length % CIFAR_RECORD !== 0) {
      throw new InputError(
        `${name}: ${bytes.length} bytes, expected CIFAR-10 records of ${CIFAR_RECORD} bytes each; `
          + 'the file is truncated, packed, or not the binary version',
      )
    }
    return bytes.length / CIFAR_RECORD
  })
  const records = parts.flatMap(({ name, bytes }, p) =>
    Array.from({ length: counts[p] }, (_, i) => ({
      item: `${name}, record ${i}`,
      bytes: bytes.subarray(i * CIFAR_RECORD, (i + 1) * CIFAR_RECORD),
    }))
  )
  for (const { item, bytes } of records) {
    if (bytes[0] > 9) {
      throw new InputError(`${item}: label ${bytes[0]}, expected 0 to 9; this is not the CIFAR-10 binary version`)
    }
  }
  return {
    name: parts.map((part) => part.name).join(','),
    labels: Int32Array.from(records, (r) => r.bytes[0]),
    classes,
    classCount: 10,
    item: (i) => records[i].item,
    load: (i) => ({ width: 32, height: 32, channels: 3, data: records[i].bytes.subarray(1) }),
  }
}

/** MNIST's idx format, gzip or plain: images u8 [n, height, width], labels u8 [n]. Throws InputError. */
export async function idxSource(images: NamedBytes, labels: NamedBytes): Promise<Source> {
  const picture = await readIdx(images, 3, 'images'), label = await readIdx(labels, 1, 'labels')
  const [count, height, width] = picture.shape
  if (count !== label.shape[0]) {
    throw new InputError(
      `${labels.name}: ${label.shape[0]} labels for the ${count} images of ${images.name}; `
        + 'the two files must belong together',
    )
  }
  const size = height * width
  return {
    name: `${images.name},${labels.name}`,
    labels: Int32Array.from(label.data),
    item: (i) => `${images.name}, image ${i}`,
    load: (i) => ({ width, height, channels: 1, data: picture.data.subarray(i * size, (i + 1) * size) }),
  }
}

async function readIdx(
  { name, bytes }: NamedBytes,
  rank: number,
  what: string,
): Promise<{ shape: number[], data: Uint8Array }> {
  const header = 4 + 4 * rank, gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b
  // the size is in the first bytes, so inflating stops as soon as there is more than it promises
  const needed = (start: Uint8Array) => {
    const view = new DataView(start.buffer, start.byteOffset, start.byteLength),
      magic = start.length < 4 ? -1 : view.getUint32(0)
    if (magic >= 0 && magic !== 0x800 + rank) {
      throw new InputError(
        `${name}: starts with 0x${magic.toString(16)}, expected 0x${(0x800 + rank).toString(16)} `
          + `(idx, ${what} as bytes); images come first, labels second`,
      )
    }
    if (start.length < header) {
      throw new InputError(
        `${name}: ${start.length} bytes, expected an idx file of at least ${header}; it is truncated`,
      )
    }
    const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
    const size = sizeOf(shape)
    if (size === 0 || size > 2 ** 31) {
      throw new InputError(`${name}: its header says [${shape}], expected 1 to 2^31 bytes of ${what}; it is damaged`)
    }
    return { shape, size }
  }
  const content = gzipped ? await gunzip(bytes, name, header, (start) => header + needed(start).size) : bytes
  const { shape, size } = needed(content)
  if (content.length !== header + size) {
    throw new InputError(
      `${name}: its header says [${shape}], that is ${size} bytes, found ${content.length - header}; `
        + 'it is truncated or damaged',
    )
  }
  return { shape, data: content.subarray(header) }
}

/** Inflates gzip, refusing more bytes than `limit` reads from the first `head` of them. Throws InputError. */
async function gunzip(
  bytes: Uint8Array,
  name: string,
  head: number,
  limit: (start: Uint8Array) => number,
): Promise<Uint8Array> {
  const reader = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream('gzip')).getReader()
  let content = new Uint8Array(Math.max(head, 65536)), length = 0, allowed = Infinity
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return content.subarray(0, length)
      if (length + value.length > content.length) {
        const grown = new Uint8Array(Math.max(2 * content.length, length + value.length))
        grown.set(content.subarray(0, length))
        content = grown
      }
      content.set(value, length)
      length += value.length
      if (allowed === Infinity && length >= head) allowed = limit(content.subarray(0, head))
      if (length > allowed) {
        throw new InputError(`${name}: inflates beyond the ${allowed} bytes its header promises; it is damaged`)
      }
    }
  } catch (error) {
    void reader.cancel().catch(() => {})
    if (error instanceof InputError) throw error
    throw new InputError(
      `${name}: the gzip data does not inflate (${(error as Error).message}); `
        + 'it is truncated or damaged',
      { cause: error },
    )
  }
}

/**
 * An image list: a JSON array of { file, label }, files in the folder of the same name beside it (`val.json`, `val/`).
 * Throws InputError; whether each file is there shows when it is loaded.
 */
export async function listSource(path: string, files: Files): Promise<Source> {
  const rows = await readJson(files, path)
  if (!Array.isArray(rows) || rows.length === 0) {
    throw new InputError(
      `${path}: expected a JSON array of { file, label } with at least one row, got ${describe(rows)}`,
    )
  }
  for (const [i, row] of rows.entries()) {
    const { file, label } = (row ?? {}) as Record<string, unknown>
    const isClass = Number.isInteger(label) && (label as number) >= 0 && (label as number) <= 0x7fffffff
    if (typeof file !== 'string' || file === '' || !isClass) {
      throw new InputError(
        `${path}: row ${i} is ${describe(row)}, expected { file: "name", label: whole number from 0 }`,
      )
    }
    if (/^(\/|\\|[a-z]+:)/i.test(file) || file.split(/[/\\]/).includes('..')) {
      throw new InputError(
        `${path}: row ${i} names ${describe(file)}, expected a path inside the list's folder; `
          + 'move the file there',
      )
    }
  }
  const list = rows as { file: string, label: number }[], folder = path.replace(/\.json$/i, '')
  if (folder === path) {
    throw new InputError(
      `${path}: expected a name ending in .json, files lie in the folder of the same name; rename it`,
    )
  }
  const classes = await readClasses(parent(path), files)
  return {
    name: path,
    labels: Int32Array.from(list, (row) => row.label),
    classes: classes?.names,
    ids: classes?.ids,
    classCount: classes?.names.length,
    item: (i) => `${folder}/${list[i].file}`,
    async load(i) {
      const file = `${folder}/${list[i].file}`
      return readPicture(files, file)
    },
  }
}

/**
 * Decoded pictures in safetensors: `images` U8 (0..255) or float (already normalised, used as they are)
 * [n, channels, height, width], `labels` I32, I64 or U8 [n]. Throws InputError.
 */
export function tensorSource({ name, bytes }: NamedBytes, classes?: string[]): Source {
  const { tensors } = parseSafetensors(bytes, name)
  const images = tensors.get('images')
  const labels = tensors.get('labels')
  if (!images || !labels) {
    const found = [...tensors.keys()].slice(0, 5).map((key) => describe(key)).join(', ')
    throw new InputError(`${name}: expected tensors "images" and "labels", found ${found}; this is not a data file`)
  }
  const { shape, data } = images
  if (
    shape.length !== 4 || (shape[1] !== 1 && shape[1] !== 3)
    || !(data instanceof Uint8Array || data instanceof Float32Array)
  ) {
    throw new InputError(
      `${name}: images is ${images.type} [${shape}], expected U8, F32, F16 or BF16 [n, 1 or 3, height, width]`,
    )
  }
  const [count, channels, height, width] = shape, size = channels * height * width
  if (labels.shape.length !== 1 || labels.shape[0] !== count || labels.data instanceof Float32Array) {
    throw new InputError(
      `${name}: labels is ${labels.type} [${labels.shape}], expected one integer for each of ${count} images`,
    )
  }
  return {
    name,
    labels: Int32Array.from(labels.data as ArrayLike<number | bigint>, (label, i) => {
      const value = Number(label)
      if (value < 0 || value > 0x7fffffff) {
        throw new InputError(`${name}, image ${i}: label ${value}, expected a class number from 0`)
      }
      return value
    }),
    classes,
    classCount: classes?.length,
    prepared: true,
    normalised: data instanceof Float32Array ? images.type : undefined,
    item: (i) => `${name}, image ${i}`,
    load(i) {
      const part = data.subarray(i * size, (i + 1) * size)
      return part instanceof Uint8Array
        ? { width, height, channels, data: part }
        : { width, height, channels, data: part }
    },
  }
}

/** `classes.json` of a folder: names, and WordNet or other ids where given; null where there is no such file. */
export async function readClasses(folder: string, files: Files): Promise<{ names: string[], ids: string[] } | null> {
  const path = `${folder}/classes.json`
  if (!await files.exists(path)) return null
  const rows = await readJson(files, path)
  const named = (row: unknown) => typeof row === 'string' ? row : (row as { name?: unknown } | null)?.name
  if (!Array.isArray(rows) || rows.length === 0 || !rows.every((row) => typeof named(row) === 'string')) {
    throw new InputError(`${path}: expected a JSON array of class names or of { name, wnid }, got ${describe(rows)}`)
  }
  return {
    names: rows.map((row) => named(row) as string),
    ids: rows.map((row) => String((row as { wnid?: unknown }).wnid ?? named(row))),
  }
}

/** Parses JSON bytes. Throws InputError naming the file. */
/** A JSON file; of a large one that holds what no text does, the start alone is read. */
const readJson = async (files: Files, path: string): Promise<unknown> =>
  parseJson(
    await files.read(path, (start) => {
      if (start.includes(0)) parseJson(start, path)
    }),
    path,
  )

function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    const reason = String((error as Error).message).replace(/\s+/g, ' ').slice(0, 80)
    throw new InputError(`${name}: not valid JSON (${reason}); check the file`, { cause: error })
  }
}

/** The folder a path lies in; '.' for a bare name. */
export const parent = (path: string): string => {
  const trimmed = path.replace(/\/+$/, ''), cut = trimmed.lastIndexOf('/')
  return cut < 0 ? '.' : trimmed.slice(0, cut) || '/'
}

/** A value in a message, shortened. */
export function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

// safetensors: 8-byte little-endian header length, JSON header, raw little-endian data. Reading is strict, because the
// header is the only thing between a damaged download and a model that is quietly wrong: every byte must belong to
// exactly one tensor. Tensors are views of the file's bytes wherever their alignment allows.
import { sizeOf } from '../base/shape.ts'
import { InputError } from '../base/errors.ts'
import { shown } from '../base/quote.ts'
import { foreignFormat } from './formats.ts'
import { bfloatToFloat, floatToHalf, halfToFloat } from './half.ts'

/** Element types read here; F16 and BF16 become float32 on the way in. */
export type StoredType = 'F32' | 'F16' | 'BF16' | 'U8' | 'I8' | 'I32' | 'I64'

/** Typed arrays a stored tensor may hold. */
export type StoredData = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array

/** One tensor of a file: its type in the file, its shape ([] is a scalar), its values in row-major order. */
export interface StoredTensor {
  type: StoredType
  shape: number[]
  data: StoredData
}

/** A file's content; tensors in file order. */
export interface SafetensorsFile {
  metadata: Record<string, string>
  tensors: Map<string, StoredTensor>
}

/**
 * What `writeSafetensors` takes: a shape and values; the array's type decides how it is stored (floats: see `floats`).
 */
export interface TensorToStore {
  shape: readonly number[]
  data: StoredData
}

const BYTES: Record<StoredType, number> = { F32: 4, F16: 2, BF16: 2, U8: 1, I8: 1, I32: 4, I64: 8 }
const MAX_HEADER = 100_000_000 // as the format's own library limits it
const MAX_RANK = 16

/**
 * Parses a safetensors file. `name` is what errors call it. With `finite` (default) a NaN or an infinity in a float
 * tensor is refused by the tensor's name. Throws InputError, one sentence, for anything that is not exactly well
 * formed.
 */
export function parseSafetensors(bytes: Uint8Array, name = 'safetensors', { finite = true } = {}): SafetensorsFile {
  const bad = (message: string): never => {
    throw new InputError(`${name}: ${message}`)
  }
  const length = headerLength(bytes, bytes.length, name)
  const header = parseHeader(bytes.subarray(8, 8 + length), bad)
  const data = bytes.subarray(8 + length)

  let metadata: Record<string, string> = {}
  const entries: { key: string, type: StoredType, shape: number[], start: number, end: number }[] = []
  for (const [key, value] of Object.entries(header)) {
    if (key === '__metadata__') metadata = checkMetadata(value, bad)
    else entries.push({ key, ...checkEntry(key, value, data.length, bad) })
  }
  if (entries.length === 0) bad('expected at least one tensor, the header names none; this is not a checkpoint')
  checkCover(entries, data.length, bad)

  const tensors = new Map<string, StoredTensor>()
  for (const { key, type, shape, start, end } of entries) {
    const values = decode(data.subarray(start, end), type)
    if (finite && values instanceof Float32Array) {
      const at = firstNonFinite(values)
      if (at >= 0) {
        bad(
          `tensor ${quote(key)} holds ${values[at]} at entry ${at}, expected finite numbers; `
            + 'the checkpoint is damaged or its training diverged',
        )
      }
    }
    tensors.set(key, { type, shape, data: values })
  }
  return { metadata, tensors }
}

/**
 * Length of the header, from a file's first bytes and its size. @throws InputError for what is no safetensors file or
 * ends before its header does.
 */
function headerLength(start: Uint8Array, size: number, name: string): number {
  const bad = (message: string): never => {
    throw new InputError(`${name}: ${message}`)
  }
  const foreign = foreignFormat(start, name, size)
  if (foreign) bad(`expected a safetensors file, found ${foreign}`)
  if (size < 8) {
    bad(`expected a safetensors file of at least 8 bytes, got ${size}; the file is truncated, load it again`)
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32
  if (length > size - 8 || length > MAX_HEADER) {
    bad(
      `its header claims ${length} bytes, the file has ${size - 8} after the length field; `
        + 'it is truncated or not a safetensors file',
    )
  }
  return length
}

/** `StartCheck` of a safetensors file: its header, and by that its size where the start holds all of it. */
export function checkStart(start: Uint8Array, size: number, name: string): void {
  headerLength(start, size, name)
  const described = safetensorsSize(start, name)
  if (described !== null && described < size) throw new InputError(`${name}: ${unowned(size - described)}`)
}

const unowned = (bytes: number) =>
  `${bytes} bytes after the last tensor belong to no tensor; the header is damaged or files were joined`

/**
 * How large a safetensors file is by its header, from its first bytes; null while they do not hold the header yet.
 * Throws InputError once they show that this is no safetensors file, or its header is damaged.
 */
export function safetensorsSize(start: Uint8Array, name = 'safetensors'): number | null {
  const bad = (message: string): never => {
    throw new InputError(`${name}: ${message}`)
  }
  if (start.length < 9) return null
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32
  if (length > MAX_HEADER || start[8] !== 0x7b) {
    bad(`expected a safetensors file, found ${foreignFormat(start, name) ?? 'something else'}`)
  }
  if (start.length < 8 + length) return null
  const entries = Object.entries(parseHeader(start.subarray(8, 8 + length), bad)).filter(([key]) =>
    key !== '__metadata__'
  ).map(([key, value]) => ({ key, ...checkEntry(key, value, Number.MAX_SAFE_INTEGER, bad) }))
  if (entries.length === 0) bad('expected at least one tensor, the header names none; this is not a checkpoint')
  const size = entries.reduce((most, { end }) => Math.max(most, end), 0)
  checkCover(entries, size, bad)
  return 8 + length + size
}

function parseHeader(bytes: Uint8Array, bad: (message: string) => never): Record<string, unknown> {
  let text = '', header: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    header = JSON.parse(text)
  } catch (error) {
    const reason = String((error as Error).message).replace(/\s+/g, ' ').slice(0, 80)
    bad(`its header is not valid JSON (${reason}); the file is damaged or not a safetensors file`)
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    bad('its header is not a JSON object; the file is damaged or not a safetensors file')
  }
  const twice = duplicateKey(text)
  if (twice !== null) {
    bad(`its header names ${quote(twice)} twice, expected unique names; it cannot be told which is meant`)
  }
  return header as Record<string, unknown>
}

// JSON.parse keeps the last of two equal keys without a word, so keys are counted in the text: a string followed by a
// colon. The text is valid JSON by now. Scanned by hand, since a regular expression runs out of stack in long strings.
function duplicateKey(text: string): string | null {
  const seen: Set<string>[] = []
  const blank = (code: number) => code === 32 || code === 10 || code === 13 || code === 9
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === OPEN) seen.push(new Set())
    else if (code === CLOSE) seen.pop()
    if (code !== QUOTE) continue
    const start = at
    for (at++; text.charCodeAt(at) !== QUOTE; at++) if (text.charCodeAt(at) === BACKSLASH) at++
    let after = at + 1
    while (blank(text.charCodeAt(after))) after++
    if (text.charCodeAt(after) !== COLON) continue
    const key = JSON.parse(text.slice(start, at + 1)) as string, keys = seen[seen.length - 1]
    if (keys.has(key)) return key
    keys.add(key)
  }
  return null
}

const [QUOTE, BACKSLASH, COLON, OPEN, CLOSE] = Array.from('"\\:{}', (character) => character.charCodeAt(0))

function checkMetadata(value: unknown, bad: (message: string) => never): Record<string, string> {
  if (value === null) return {} // as the format's own library reads it
  if (
    typeof value !== 'object' || value === null || Array.isArray(value)
    || Object.values(value).some((text) => typeof text !== 'string')
  ) {
    bad(
      'its __metadata__ must be an object of strings; '
        + 'the file was written by something else than a safetensors library',
    )
  }
  return value as Record<string, string>
}

function checkEntry(key: string, value: unknown, available: number, bad: (message: string) => never) {
  const label = `tensor ${quote(key)}`
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>
  if (typeof dtype !== 'string' || !Array.isArray(shape) || !Array.isArray(offsets) || offsets.length !== 2) {
    bad(
      `${label} needs dtype, shape and data_offsets [start, end], got ${shown(value)}; the header is damaged`,
    )
  }
  if (!Object.hasOwn(BYTES, dtype as string)) {
    bad(
      `${label} has dtype ${shown(dtype)}, expected one of ${Object.keys(BYTES).join(', ')}; `
        + 'convert the checkpoint to float32 first',
    )
  }
  const whole = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0
  const dims = shape as number[], [start, end] = offsets as number[], type = dtype as StoredType
  if (dims.length > MAX_RANK || !dims.every(whole)) {
    bad(
      `${label} has shape ${shown(shape)}, expected at most ${MAX_RANK} whole sizes; `
        + 'the header is damaged',
    )
  }
  if (!whole(start) || !whole(end) || start > end || end > available) {
    bad(
      `${label} lies at bytes ${start} to ${end}, the file has ${available} bytes of data; `
        + 'it is truncated or its header is wrong',
    )
  }
  const size = sizeOf(dims) * BYTES[type]
  if (size !== end - start) {
    bad(
      `${label} of shape [${dims}] and dtype ${type} needs ${size} bytes, its offsets hold ${end - start}; `
        + 'the header is damaged',
    )
  }
  return { type, shape: dims, start, end }
}

function checkCover(
  entries: { key: string, start: number, end: number }[],
  available: number,
  bad: (message: string) => never,
) {
  let position = 0, previous = ''
  // an empty tensor lies before the one that starts at the same byte
  for (const { key, start, end } of entries.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    if (start < position) {
      bad(`tensors ${quote(previous)} and ${quote(key)} overlap at byte ${start}; the header is damaged`)
    }
    if (start > position) {
      bad(
        `bytes ${position} to ${start} before tensor ${quote(key)} belong to no tensor, expected no holes; `
          + 'the header is damaged',
      )
    }
    position = end
    previous = key
  }
  if (position !== available) bad(unowned(available - position))
}

function decode(bytes: Uint8Array, type: StoredType): StoredData {
  const width = BYTES[type]
  // a view where the bytes are aligned, a copy where an odd header or file offset moved them
  // (of a Node Buffer, whose own slice would be another view)
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes)
  const { buffer, byteOffset } = aligned, length = aligned.byteLength / width
  switch (type) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, length)
    case 'F16':
      return halfToFloat(new Uint16Array(buffer, byteOffset, length))
    case 'BF16':
      return bfloatToFloat(new Uint16Array(buffer, byteOffset, length))
    case 'U8':
      return new Uint8Array(buffer, byteOffset, length)
    case 'I8':
      return new Int8Array(buffer, byteOffset, length)
    case 'I32':
      return new Int32Array(buffer, byteOffset, length)
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, length)
  }
}

// 0 * x is 0 exactly for finite x, so four running sums decide a block at memory speed; only a bad block is searched.
function firstNonFinite(values: Float32Array): number {
  let a = 0, b = 0, c = 0, d = 0, i = 0
  for (; i + 4 <= values.length; i += 4) {
    a += values[i] * 0
    b += values[i + 1] * 0
    c += values[i + 2] * 0
    d += values[i + 3] * 0
  }
  for (; i < values.length; i++) a += values[i] * 0
  return a + b + c + d === 0 ? -1 : values.findIndex((x) => !Number.isFinite(x))
}

/** How `encodeSafetensors` stores: float arrays as `f32` (default) or `f16`, and the file's metadata strings. */
export interface StoreOptions {
  floats?: 'f32' | 'f16'
  metadata?: Record<string, string>
}

/**
 * The bytes of a safetensors file: tensors in the order given, wider types first so that each lies on a multiple of its
 * own width, header padded with spaces so that data starts at a multiple of 8. Throws InputError for a value that is
 * not finite or does not fit f16, and for a shape that does not match its data.
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, TensorToStore]>,
  { floats = 'f32', metadata }: StoreOptions = {},
): Uint8Array {
  const header: Record<string, unknown> = Object.create(null)
  if (metadata && Object.keys(metadata).length > 0) header.__metadata__ = metadata
  const parts = Array.from(tensors, ([key, { shape, data }]) => {
    const size = sizeOf(shape)
    if (size !== data.length || key === '__metadata__') {
      throw new InputError(
        `tensor ${quote(key)}: shape [${shape}] needs ${size} entries, got ${data.length}; expected equal counts`,
      )
    }
    return { key, shape, ...store(key, data, floats) }
  }).sort((a, b) => BYTES[b.type] - BYTES[a.type]) // a stable sort: equal widths keep their order

  let offset = 0
  for (const { key, shape, type, bytes } of parts) {
    if (key in header) throw new InputError(`tensor ${quote(key)} is given twice; expected unique names`)
    header[key] = { dtype: type, shape: [...shape], data_offsets: [offset, offset += bytes.byteLength] }
  }
  const json = new TextEncoder().encode(JSON.stringify(header)), length = Math.ceil(json.length / 8) * 8
  const file = new Uint8Array(8 + length + offset).fill(32, 8, 8 + length)
  new DataView(file.buffer).setUint32(0, length, true)
  file.set(json, 8)
  let position = 8 + length
  for (const { bytes } of parts) {
    file.set(bytes, position)
    position += bytes.byteLength
  }
  return file
}

function store(key: string, data: StoredData, floats: 'f32' | 'f16'): { type: StoredType, bytes: Uint8Array } {
  const raw = (type: StoredType, array: StoredData | Uint16Array) => ({
    type,
    bytes: new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
  })
  if (data instanceof Float32Array) {
    const at = firstNonFinite(data)
    if (at >= 0) {
      throw new InputError(
        `tensor ${quote(key)} holds ${data[at]} at entry ${at}; expected finite numbers, nothing was written`,
      )
    }
    if (floats === 'f32') return raw('F32', data)
    const large = data.findIndex((x) => Math.abs(x) >= 65520)
    if (large >= 0) {
      throw new InputError(`tensor ${quote(key)} holds ${data[large]}, beyond f16's 65504; store this file as f32`)
    }
    return raw('F16', floatToHalf(data))
  }
  if (data instanceof Uint8Array) return raw('U8', data)
  if (data instanceof Int8Array) return raw('I8', data)
  if (data instanceof Int32Array) return raw('I32', data)
  return raw('I64', data)
}

/** A name from a file, as JSON. */
const quote = (text: string | undefined) => shown(text ?? null)

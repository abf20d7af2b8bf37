// Checkpoints: a safetensors file to an architecture and a model, and back. Ours hold everything in the metadata
// `espalier`; of published ones the architecture comes from metadata `arch`, else from names and shapes. All checks
// happen before the device is touched.
import { EspalierError, InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import { type Tensor, withoutDevice } from '../core/tensor.ts'
import { costOf } from '../nn/macs.ts'
import { checkFits } from '../pruning/plan/fit.ts'
import { checkRecord, type PruningRecord, shrunken } from '../pruning/plan/record.ts'
import { describedLeaves } from '../core/tree.ts'
import { type Architecture, buildModel, checkArchitecture, classesOf, entryOf, type Family, inputOf, parseArchitecture,
  preprocessingFor } from '../../models/registry.ts'
import { bytesOf, type ByteSource } from '../files/bytes.ts'
import { checkBudget } from '../../models/budget.ts'
import { quoted, shown } from '../base/quote.ts'
import { type Files, nodeFiles } from '../files/files.ts'
import { type Preprocessing, preprocessingOf } from '../data/preprocess.ts'
import { checkComplete, published, recognise, referenceArchitecture, type Shapes } from './published.ts'
import { encodeSafetensors, parseSafetensors, type StoredTensor, type TensorToStore } from '../files/safetensors.ts'
import { checkShape, type HostTensor, layoutOf, loadWeights, saveWeights } from './weights.ts'

/** Where weights came from: a file's name and the SHA-256 of its bytes. */
export interface Origin {
  file: string
  sha256: string
}

/** What a checkpoint says beside its weights. */
export interface CheckpointInfo {
  architecture: Architecture
  preprocessing: Preprocessing
  /** Names of the classes. */
  classes?: string[]
  /** The file the weights were first read from. */
  source?: Origin
  /** How the file names its tensors: `espalier`, or a key of `published`. */
  naming: string
  /** What was cut from the network of that architecture. */
  pruning?: PruningRecord
  /** Other metadata, carried along. */
  metadata: Record<string, string>
  /** Tensors that are no weights (`num_batches_tracked`, indices), carried along. */
  others: ReadonlyMap<string, StoredTensor>
}

/** A checked file: its weights fit the architecture. `shape` is the model without content, for traces. */
export interface ParsedCheckpoint extends CheckpointInfo {
  name: string
  source: Origin
  /** Size of the file, and the SHA-256 of its bytes. */
  bytes: number
  digest: string
  classCount: number
  shape: Model
  weights: Map<string, HostTensor>
}

/** A checkpoint on the device. */
export interface Checkpoint extends ParsedCheckpoint {
  model: Model
}

const unread = /(^|\.)(num_batches_tracked|relative_position_index|attn_mask)$/

/**
 * Reads a checkpoint's bytes and checks everything, without a device. `arch` is `--arch`: a name, or JSON whose options
 * stand over what the file says. @throws InputError, one sentence that names the file.
 */
export async function parseCheckpoint(
  bytes: Uint8Array,
  name: string,
  { arch }: { arch?: string } = {},
): Promise<ParsedCheckpoint> {
  const given = arch === undefined ? undefined : parseArchitecture(arch)
  const { metadata, tensors } = parseSafetensors(bytes, name)
  const digest = sha256(bytes)
  digest.catch(() => {}) // a refused file is reported as what it is
  try {
    const weights = new Map<string, HostTensor>(), others = new Map<string, StoredTensor>()
    for (const [key, tensor] of tensors) {
      if (unread.test(key)) others.set(key, tensor)
      else weights.set(key, { shape: tensor.shape, data: floats(key, tensor) })
    }
    const shapes: Shapes = new Map([...tensors].map(([key, { shape }]) => [key, shape]))
    const own = ownMetadata(metadata)
    const naming = own?.naming ?? recognise(shapes)
    const architecture = checkArchitecture(decide(given, own, naming, metadata, shapes), name)
    if (!own) checkComplete(architecture)
    checkBudget(entryOf(architecture).family, architecture, name, tensors.size)
    const pruning = own?.pruning
    const dense = withoutDevice(() => buildModel(architecture, name))
    const shape = pruning ? withoutDevice(() => shrunken(dense, shapes, pruning)) : dense
    if (naming === 'espalier') checkOwn(shape, weights)
    else {
      const layout = layoutOf(shape, published[naming].naming(architecture), weights.keys())
      for (const [key, { shape: expected }] of layout) checkShape(key, weights.get(key)!.shape, expected)
    }
    if (pruning) {
      const input = inputOf(architecture)
      checkFits(withoutDevice(() => buildModel(architecture, name)), [1, ...input], shapes, pruning)
      checkFit(shape, input)
    }
    const classCount = classesOf(shape)
    const { espalier: _, ...kept } = metadata
    return {
      name,
      bytes: bytes.length,
      digest: await digest,
      architecture,
      naming,
      classCount,
      shape,
      weights,
      others,
      metadata: kept,
      preprocessing: preprocessingOf(
        own ? { preprocessing: JSON.stringify(own.preprocessing ?? {}) } : metadata,
        preprocessingFor(architecture),
        name,
      ),
      classes: classNames(own ? own.classes : parsed(metadata.classes), classCount),
      pruning,
      source: own?.source ?? { file: name.split(/[/\\]/).at(-1)!, sha256: await digest },
    }
  } catch (error) {
    if (!(error instanceof InputError) || error.message.startsWith(name)) throw error
    throw new InputError(`${name}: ${error.message}`, { cause: error })
  }
}

/**
 * Reads a checkpoint and puts its weights on the device: from a path (in a page an address), or from bytes, a Blob or a
 * File, which messages call `name`. @throws InputError as `parseCheckpoint`.
 */
export async function loadCheckpoint(
  source: ByteSource,
  { arch, files = nodeFiles, name = 'checkpoint' }: { arch?: string, files?: Files, name?: string } = {},
): Promise<Checkpoint> {
  const read = await bytesOf(source, files, name)
  const checked = await parseCheckpoint(read.bytes, read.name, { arch })
  return { ...checked, model: modelOf(checked) }
}

/** The model of a checked file, on the device. */
export function modelOf({ architecture, naming, weights, name, pruning }: ParsedCheckpoint): Model {
  const dense = buildModel(architecture, name)
  const model = pruning
    ? shrunken(dense, new Map([...weights].map(([path, { shape }]) => [path, shape])), pruning)
    : dense
  if (naming !== 'espalier') loadWeights(model, published[naming].naming(architecture), weights)
  else for (const [path, leaf] of stored(model)) leaf.write(weights.get(path)!.data)
  return model
}

/** How `encodeCheckpoint` writes: under which names (default ours), and in which precision. */
export interface SaveOptions {
  naming?: string
  floats?: 'f32' | 'f16'
}

/**
 * The bytes of a checkpoint. With a published naming the tensors have the names, shapes and fused layout of the
 * family's own checkpoints, so that a file loaded from there is written with equal content. @throws InputError for a
 * naming of another family.
 */
export async function encodeCheckpoint(
  model: Model,
  info: CheckpointInfo,
  { naming = 'espalier', floats }: SaveOptions = {},
): Promise<Uint8Array> {
  const { architecture, preprocessing, classes, source, metadata, others, pruning } = info
  const tensors = new Map<string, TensorToStore>()
  if (naming === 'espalier') {
    for (const [path, leaf] of stored(model)) {
      tensors.set(path, { shape: leaf.shape, data: await leaf.data() as Float32Array })
    }
  } else {
    checkNaming(naming, entryOf(architecture).family)
    if (pruning) {
      throw new InputError(
        `a pruned network does not have the sizes that ${naming} names imply; save it under our own names`,
      )
    }
    for (const [key, tensor] of await saveWeights(model, published[naming].naming(architecture))) {
      tensors.set(key, tensor)
    }
    if (naming === info.naming) { for (const [key, tensor] of others) tensors.set(key, tensor) }
  }
  const espalier = JSON.stringify({ format: 1, naming, architecture, preprocessing, classes, source, pruning })
  return encodeSafetensors(tensors, { floats, metadata: { ...metadata, espalier } })
}

/**
 * Writes a checkpoint beside its name and renames it into place. @throws InputError where it cannot be written. Node
 * only.
 */
export async function saveCheckpoint(
  path: string,
  model: Model,
  info: CheckpointInfo,
  options: SaveOptions = {},
): Promise<void> {
  const bytes = await encodeCheckpoint(model, info, options)
  const { writeOutput } = await import('../files/output.ts')
  writeOutput(path, bytes)
}

/** The tensors of a model that a file must hold: all but what follows from sizes. */
function stored(model: Model): [string, Tensor][] {
  return describedLeaves(model).flatMap(([path, leaf, { saved = true }]) => saved === true ? [[path, leaf]] : [])
}

function floats(key: string, { type, data }: StoredTensor): Float32Array {
  if (data instanceof Float32Array) return data
  throw new InputError(
    `tensor ${quoted(key, 60)} is ${type}, expected F32, F16 or BF16; quantised checkpoints must be converted first`,
  )
}

function checkOwn(model: Model, weights: ReadonlyMap<string, HostTensor>) {
  const expected = new Map(stored(model))
  const missing = [...expected.keys()].filter((path) => !weights.has(path))
  const unknown = [...weights.keys()].filter((path) => !expected.has(path))
  if (missing.length || unknown.length) {
    throw new InputError(`its tensors do not fit the architecture its metadata names: ${
      [
        missing.length ? `${missing.length} are missing, e.g. ${quoted(missing[0], 60)}` : '',
        unknown.length ? `${unknown.length} belong nowhere, e.g. ${quoted(unknown[0], 60)}` : '',
      ].filter(Boolean).join(', ')
    }; save it anew`)
  }
  for (const [path, { shape }] of expected) checkShape(path, weights.get(path)!.shape, shape)
}

interface OwnMetadata {
  naming: string
  architecture: Architecture
  preprocessing?: unknown
  classes?: unknown
  source?: Origin
  pruning?: PruningRecord
}

/** Sliced tensors must fit each other: a trace of shapes shows it. */
function checkFit(shape: Model, input: [number, number, number]) {
  try {
    costOf(shape, input)
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    throw new InputError(`its pruned tensors do not fit each other (${error.message}); prune the original file again`, {
      cause: error,
    })
  }
}

function ownMetadata({ espalier }: Record<string, string>): OwnMetadata | null {
  if (espalier === undefined) return null
  const value = parsed(espalier, 'espalier') as (Partial<OwnMetadata> & { format?: unknown }) | null
  if (typeof value !== 'object' || value === null || value.format !== 1) {
    throw new InputError(
      `metadata espalier has format ${
        shown(value?.format ?? null, 60)
      }, expected 1; the file is damaged or from a newer version`,
    )
  }
  const { naming, architecture, source } = value
  if (typeof naming !== 'string' || (naming !== 'espalier' && !Object.hasOwn(published, naming))) {
    const found = shown(naming ?? null, 60)
    throw new InputError(
      `metadata espalier names its tensors after ${found}, expected espalier or ${Object.keys(published).join(', ')}`,
    )
  }
  if (source !== undefined && (typeof source?.file !== 'string' || !/^[0-9a-f]{64}$/.test(String(source.sha256)))) {
    throw new InputError('metadata espalier has a source without file and sha256; save the file anew')
  }
  const checked = checkArchitecture(architecture as Architecture, 'metadata espalier')
  if (naming !== 'espalier') checkNaming(naming, entryOf(checked).family)
  const pruning = value.pruning === undefined ? undefined : checkRecord(value.pruning)
  if (pruning && naming !== 'espalier') {
    throw new InputError('metadata espalier has a pruning and published tensor names; expected our own')
  }
  return { ...value, naming, architecture: checked, source, pruning }
}

function checkNaming(naming: string, family: Family) {
  const known = Object.entries(published).filter(([, each]) => each.family === family).map(([name]) => name)
  if (known.includes(naming)) return
  throw new InputError(
    `naming ${quoted(naming, 60)} is not for this architecture, expected ${['espalier', ...known].join(', ')}`,
  )
}

function parsed(text: string | undefined, what = 'classes'): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch (error) {
    throw new InputError(`metadata ${what} is not valid JSON; remove it or save the file anew`, { cause: error })
  }
}

function classNames(names: unknown, count: number): string[] | undefined {
  if (names === undefined || names === null) return undefined
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string') || names.length !== count) {
    const found = Array.isArray(names) ? names.length : 'no list of'
    throw new InputError(
      `its metadata names ${found} classes, the network tells ${count} apart; remove or mend the names`,
    )
  }
  return names as string[]
}

/** The architecture: what the file says, or shows, with `--arch` standing over it. */
function decide(
  given: Partial<Architecture> | undefined,
  own: OwnMetadata | null,
  naming: string,
  metadata: Record<string, string>,
  shapes: Shapes,
): Architecture {
  let found: Architecture
  try {
    found = own?.architecture
      ?? (metadata.arch === undefined ? published[naming].sizes(shapes) : referenceArchitecture(metadata.arch))
  } catch (error) {
    if (given?.type === undefined || !(error instanceof InputError)) throw error
    return given as Architecture
  }
  if (given?.type !== undefined && entryOf(given as Architecture).family !== entryOf(found).family) {
    return given as Architecture
  }
  return { ...found, ...given }
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

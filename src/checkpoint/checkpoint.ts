// Checkpoints: a safetensors file to an architecture and a model, and back. Ours hold everything in the metadata
// `espalier`; of published ones the architecture comes from metadata `arch`, else from names and shapes. All checks
// happen before the device is touched.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { EspalierError, InputError } from '../base/errors.ts'
import { sha256 } from '../base/sha256.ts'
import type { Model } from '../nn/model.ts'
import { type Tensor, withoutDevice } from '../core/tensor.ts'
import { costOf } from '../nn/macs.ts'
import { packedWeights } from '../nn/weight.ts'
import { checkFits } from '../pruning/plan/fit.ts'
import { historyOf, rememberRecord } from '../pruning/plan/history.ts'
import { checkRecord, type PruningRecord, shrunken } from '../pruning/plan/record.ts'
import { describedLeaves } from '../core/tree.ts'
import { type Architecture, buildModel, checkArchitecture, classesOf, entryOf, type Family, inputOf,
  parseArchitecture } from '../../models/registry.ts'
import { bytesOf, type ByteSource } from '../files/bytes.ts'
import { checkBudget } from '../../models/budget.ts'
import { quoted, shown } from '../base/quote.ts'
import { type Files, nodeFiles, type StartCheck } from '../files/files.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import type { SideFile } from './config.ts'
import { classNames, complete, configsIn, decide, foreignNames, type OwnMetadata, parsed,
  preparation } from './decide.ts'
import { besideOf, readPublished, separate, withTwoLogits } from './foreign.ts'
import { checkComplete, published, recognise, type Shapes } from './published.ts'
import { sparseWeights } from '../sparse/sparsify.ts'
import { encodeSafetensors, type StoredTensor, type TensorToStore } from '../files/safetensors.ts'
import { checkContentStart, contentOf } from './container.ts'
import { checkMasks, masksOf, putMasks, takeMasks } from './masks.ts'
import { checkSparsity, checkStored, denseShapes, type PackedLayer, putPacked, type SparsityRecord, storePacked,
  takePacked } from './packed.ts'
import { checkShape, type HostTensor, layoutOf, loadWeights, saveWeights } from './weights.ts'

const loadKeys: OptionKeys<LoadOptions> = { arch: true, masks: true, files: true, name: true }
const saveKeys: OptionKeys<SaveOptions> = { naming: true, floats: true, masks: true }

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
  /** How weights of it came to be packed; which ones is read off the network. */
  sparsity?: Pick<SparsityRecord, 'steps'>
  /** Other metadata, carried along. */
  metadata: Record<string, string>
  /** Tensors that are no weights (`num_batches_tracked`, indices), carried along. */
  others: ReadonlyMap<string, StoredTensor>
}

/** A checked file: its weights fit the architecture. `shape` is the model without content, for traces. */
export interface ParsedCheckpoint extends CheckpointInfo {
  name: string
  source: Origin
  /** Size of the file, and the SHA-256 of its bytes; with the files that an ONNX file has beside it. */
  bytes: number
  digest: string
  classCount: number
  shape: Model
  weights: Map<string, HostTensor>
  /** Weights that are packed in a sparsity pattern, by path. */
  packed: ReadonlyMap<string, PackedLayer>
  /** Masks of gates, by the path of the leaf; on the model only where asked for. */
  masks: Map<string, HostTensor>
  /**
   * Where what no tensor tells comes from, by option (`heads`, `eps`, `image`), field of preprocessing, or `classes`:
   * `file`, the name of a configuration, `--arch`, `default`, or `guess`.
   */
  origins: Record<string, string>
  /** What was guessed, changed on reading or ignored: a sentence each, for the user. */
  notes: string[]
  /**
   * Why the mean and deviation said of pictures are not taken (it is one of `notes` too): `preprocessing` has the usual
   * ones, which are wrong. Commands ask for `--mean` and `--std` then.
   */
  refusedStatistics?: string
}

/** A checkpoint on the device. */
export interface Checkpoint extends ParsedCheckpoint {
  model: Model
}

/**
 * Reads a checkpoint's bytes and checks everything, without a device. `arch` is `--arch`: a name, or JSON whose options
 * stand over what the file says. `beside` are configurations that belong to it, the most particular first; files of our
 * own say everything themselves. Of an ONNX file that we wrote, `nodes` reads the graph and not our record of it;
 * `part` reads what lies beside an ONNX file, by its name there.
 * @throws InputError, one sentence that names the file.
 */
export async function parseCheckpoint(
  bytes: Uint8Array,
  name: string,
  { arch, beside = [], nodes = false, part }: {
    arch?: string,
    beside?: readonly SideFile[],
    nodes?: boolean,
    part?: (name: string, check: StartCheck) => Promise<Uint8Array>,
  } = {},
): Promise<ParsedCheckpoint> {
  const given = arch === undefined ? undefined : parseArchitecture(arch)
  const { metadata, tensors, notes: first, parts } = await contentOf(bytes, name, { nodes, part })
  const digest = digestOf(bytes, parts)
  digest.catch(() => {}) // a refused file is reported as what it is
  try {
    const own = ownMetadata(metadata)
    const packed = own?.sparsity ? takePacked(own.sparsity, tensors) : new Map<string, never>()
    const read = own ? { ...separate(tensors), notes: first } : readPublished(tensors)
    const { others, notes } = read
    const shapes: Shapes = new Map([
      ...[...read.weights, ...others].map(([key, { shape }]) => [key, shape] as const),
      ...denseShapes(packed),
    ])
    const naming = own?.naming ?? recognise(shapes)
    const shown = decide(given, own, naming, metadata, shapes, notes)
    const files = own ? [] : [...beside, ...configsIn(metadata)]
    const { told, architecture: wanted, from } = complete(shown, files, given, shapes, name)
    // before anything is built, for one logit too
    checkBudget(entryOf(wanted).family, wanted, name, tensors.size)
    const { weights, architecture, notes: heads } = withTwoLogits(wanted, naming, read.weights, own?.pruning, name)
    if (!own) checkComplete(architecture)
    const pruning = own?.pruning
    const dense = withoutDevice(() => buildModel(architecture, name))
    const shape = pruning ? withoutDevice(() => shrunken(dense, shapes, pruning)) : dense
    const layers = withoutDevice(() => {
      const checked = checkStored(shape, packed)
      putPacked(shape, checked)
      return checked
    })
    const masks = naming === 'espalier' ? takeMasks(shape, weights) : new Map<string, HostTensor>()
    if (naming === 'espalier') checkOwn(shape, weights)
    else {
      const layout = layoutOf(shape, published[naming].naming(architecture), weights.keys())
      for (const [key, { shape: expected }] of layout) checkShape(key, weights.get(key)!.shape, expected)
    }
    if (pruning) {
      const input = inputOf(architecture)
      checkFits(withoutDevice(() => buildModel(architecture, name)), [1, ...input], shapes, pruning)
      checkFit(shape, input)
    } else if (layers.size) checkFit(shape, inputOf(architecture))
    checkMasks(shape, masks, inputOf(architecture))
    const classCount = classesOf(shape)
    const { espalier: _, ...kept } = metadata
    const told2 = heads.length ? { ...told, classes: undefined } : told
    const prepared = preparation(own, metadata, told2, architecture, name, notes)
    const named = own
      ? classNames(own.classes, classCount)
      : foreignNames(metadata.classes, classCount, notes) ?? told2.classes
    const origins: Record<string, string> = {
      ...from,
      ...prepared.from,
      classes: named ? told2.from.classes ?? 'file' : 'none',
    }
    if (origins.heads === 'guess') {
      notes.push(
        `nothing tells the number of heads; ${String(architecture.heads)} is a guess from the width ${
          String(architecture.width)
        }, put config.json beside the file or give --arch '{"heads":…}'`,
      )
    }
    return {
      name,
      bytes: [...parts.values()].reduce((sum, { length }) => sum + length, bytes.length),
      digest: await digest,
      architecture,
      naming,
      classCount,
      shape,
      weights,
      masks,
      others,
      metadata: kept,
      preprocessing: prepared.preprocessing,
      classes: named,
      pruning,
      packed: layers,
      sparsity: own?.sparsity,
      source: own?.source ?? { file: name.split(/[/\\]/).at(-1)!, sha256: await digest },
      origins,
      notes: [...notes, ...told2.notes, ...heads, ...prepared.refused === undefined ? [] : [prepared.refused]],
      ...prepared.refused !== undefined && { refusedStatistics: prepared.refused },
    }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    const shard = /-(\d{5})-of-(\d{5})\.safetensors$/.exec(name)
    const hint = shard ? ` (this is shard ${Number(shard[1])} of ${Number(shard[2])}; join them all in one file)` : ''
    if (error.message.startsWith(name) && !hint) throw error
    const message = error.message.startsWith(`${name}: `) ? error.message.slice(name.length + 2) : error.message
    throw new InputError(`${name}: ${message}${hint}`, { cause: error })
  }
}

/** The SHA-256 of a file; where others are part of it, of what says all of theirs. */
async function digestOf(bytes: Uint8Array, parts: ReadonlyMap<string, Uint8Array>): Promise<string> {
  const own = await sha256(bytes)
  if (!parts.size) return own
  const others = await Promise.all([...parts].map(async ([name, content]) => [name, await sha256(content)]))
  return sha256(new TextEncoder().encode(JSON.stringify([own, others])))
}

/** Reads what lies beside a file. */
const partReader = (path: string, files: Files) => (name: string, check: StartCheck) =>
  files.read(path.replace(/[^/\\]*$/, '') + name, check)

/** Reads a checkpoint file, and the configuration beside it. @throws InputError as `parseCheckpoint`. */
export async function readCheckpoint(
  path: string,
  { arch, files = nodeFiles }: { arch?: string, files?: Files } = {},
): Promise<ParsedCheckpoint> {
  const bytes = await files.read(path, (start, size) => checkContentStart(start, size, path))
  return parseCheckpoint(bytes, path, { arch, beside: await besideOf(path, files), part: partReader(path, files) })
}

/** How `loadCheckpoint` reads. */
export interface LoadOptions {
  /** As `--arch`. */
  arch?: string
  /** Whether masks that the file holds are put on the gates. */
  masks?: boolean
  files?: Files
  /** What messages call bytes. */
  name?: string
}

/**
 * Reads a checkpoint and puts its weights on the device: from a path (in a page an address), or from bytes, a Blob or a
 * File, which messages call `name`. @throws InputError as `parseCheckpoint`.
 */
export async function loadCheckpoint(
  source: ByteSource,
  options: LoadOptions = {},
): Promise<Checkpoint> {
  checkOptions('loadCheckpoint', options, loadKeys)
  const { arch, masks, files = nodeFiles, name = 'checkpoint' } = options
  const read = await bytesOf(source, files, name, checkContentStart),
    path = typeof source === 'string' ? source : null,
    beside = path === null ? [] : await besideOf(path, files)
  const part = path === null ? undefined : partReader(path, files)
  const checked = await parseCheckpoint(read.bytes, read.name, { arch, beside, part })
  return { ...checked, model: modelOf(checked, { masks }) }
}

/** The model of a checked file, on the device; with its masks where asked. */
export function modelOf(
  { architecture, naming, weights, packed, masks, name, pruning }: ParsedCheckpoint,
  options: { masks?: boolean } = {},
): Model {
  const dense = buildModel(architecture, name)
  const model = pruning
    ? shrunken(
      dense,
      new Map([
        ...[...weights].map(([path, { shape }]) => [path, shape] as const),
        ...[...packed].map(([path, { outputs, inputs }]) => [path, [...outputs, ...inputs]] as const),
      ]),
      pruning,
    )
    : dense
  putPacked(model, packed)
  if (naming !== 'espalier') loadWeights(model, published[naming].naming(architecture), weights)
  else for (const [path, leaf] of whole(model)) leaf.write(weights.get(path)!.data)
  if (pruning) rememberRecord(model, pruning)
  if (options.masks) putMasks(model, masks)
  return model
}

/** How `encodeCheckpoint` writes: under which names (default ours), and in which precision. */
export interface SaveOptions {
  naming?: string
  floats?: 'f32' | 'f16'
  /** Whether the masks of gates are saved too; under our own names only. */
  masks?: boolean
}

/**
 * The bytes of a checkpoint. With a published naming the tensors have the names, shapes and fused layout of the
 * family's own checkpoints, so that a file loaded from there is written with equal content. What `sliceModel` cut is
 * saved with a record of it. @throws InputError for a naming of another family, and for a model whose tensors are not
 * of the sizes that the architecture has and that nothing is known to have been cut from.
 */
export async function encodeCheckpoint(
  model: Model,
  info: CheckpointInfo,
  options: SaveOptions = {},
): Promise<Uint8Array> {
  checkOptions('saveCheckpoint', options, saveKeys)
  const { naming = 'espalier', floats, masks = false } = options
  const { architecture, preprocessing, classes, source, metadata, others } = info
  const pruning = recordFor(model, info), sparse = await storePacked(sparseWeights(model), info.sparsity?.steps ?? [])
  const tensors = new Map<string, TensorToStore>()
  if (naming === 'espalier') {
    for (const [path, leaf] of whole(model)) {
      tensors.set(path, { shape: leaf.shape, data: await leaf.data() as Float32Array })
    }
    for (const [path, part] of sparse?.tensors ?? []) tensors.set(path, part)
    for (const [path, mask] of masks ? masksOf(model) : []) {
      tensors.set(path, { shape: mask.shape, data: await mask.data() as Float32Array })
    }
  } else {
    checkNaming(naming, entryOf(architecture).family)
    if (masks) throw new InputError(`${naming} names have no place for masks; save them under our own names`)
    if (pruning || sparse) {
      throw new InputError(
        `a pruned network does not have the sizes that ${naming} names imply; save it under our own names`,
      )
    }
    for (const [key, tensor] of await saveWeights(model, published[naming].naming(architecture))) {
      tensors.set(key, tensor)
    }
    if (naming === info.naming) { for (const [key, tensor] of others) tensors.set(key, tensor) }
  }
  const about = { format: 1, naming, architecture, preprocessing, classes, source, pruning, sparsity: sparse?.record }
  const espalier = JSON.stringify(about)
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

/** What was cut from a model: what the caller says, unless that is of a model that this one was cut from. */
export function recordFor(model: Model, { architecture, pruning }: CheckpointInfo): PruningRecord | undefined {
  const known = historyOf(model)
  if (known.length && (pruning === undefined || known.includes(pruning))) return known.at(-1)
  if (pruning) return pruning
  const expected = new Map(whole(withoutDevice(() => buildModel(architecture))))
  for (const [path, { shape }] of [...whole(model), ...packedWeights(model)]) {
    const wanted = expected.get(path)?.shape
    if (wanted?.join() === shape.join()) continue
    throw new InputError(
      `tensor '${path}' is [${shape}], the architecture ${architecture.type} has ${
        wanted ? `[${wanted}]` : 'none'
      } there; save what sliceModel gives, say what was cut (pruning), or use saveModel`,
    )
  }
  return undefined
}

/** The tensors of a model that a file must hold: all but what follows from sizes, and parts of packed weights. */
function whole(model: Model): [string, Tensor][] {
  return describedLeaves(model).flatMap(([path, leaf, { saved = true, partOf }]) =>
    saved === true && partOf === undefined ? [[path, leaf]] : []
  )
}

function checkOwn(model: Model, weights: ReadonlyMap<string, HostTensor>) {
  const expected = new Map(whole(model))
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

/** Sliced tensors must fit each other: a trace of shapes shows it. */
function checkFit(shape: Model, input: [number, number, number]) {
  try {
    costOf(shape, input)
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    throw new InputError(
      `its pruned or packed tensors do not fit each other (${error.message}); prune the original file again`,
      {
        cause: error,
      },
    )
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
  if (
    source !== undefined
    && (typeof source?.file !== 'string' || typeof source.sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(source.sha256))
  ) {
    throw new InputError('metadata espalier has a source without file and sha256; save the file anew')
  }
  const checked = checkArchitecture(architecture as Architecture, 'metadata espalier')
  if (naming !== 'espalier') checkNaming(naming, entryOf(checked).family)
  const pruning = value.pruning === undefined ? undefined : checkRecord(value.pruning)
  const sparsity = value.sparsity === undefined ? undefined : checkSparsity(value.sparsity)
  if ((pruning || sparsity) && naming !== 'espalier') {
    throw new InputError('metadata espalier has a pruning and published tensor names; expected our own')
  }
  return { ...value, naming, architecture: checked, source, pruning, sparsity }
}

function checkNaming(naming: string, family: Family) {
  const known = Object.entries(published).filter(([, each]) => each.family === family).map(([name]) => name)
  if (known.includes(naming)) return
  throw new InputError(
    `naming ${quoted(naming, 60)} is not for this architecture, expected ${['espalier', ...known].join(', ')}`,
  )
}

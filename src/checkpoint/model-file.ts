// Any tree of tensors as a file: a network of the user's own class, pruned, sparse or half trained. The file holds
// tensors by path, numbers that do not follow from their shapes, and the name under which its class is registered;
// loading needs the file and the class, nothing else.
import { buildModel, architectures } from '../../models/registry.ts'
import { InputError, ShapeError } from '../base/errors.ts'
import { plain, quoted, shown } from '../base/quote.ts'
import { empty, type Tensor, tensor } from '../core/tensor.ts'
import { describedLeaves, disposeTree, mapTree } from '../core/tree.ts'
import type { LeafRole } from '../core/traits.ts'
import { bytesOf, type ByteSource } from '../files/bytes.ts'
import { type Files, nodeFiles } from '../files/files.ts'
import { checkStart, encodeSafetensors, parseSafetensors, type StoredTensor,
  type TensorToStore } from '../files/safetensors.ts'
import type { Scatter } from '../nn/gate.ts'
import { gatesOf } from '../nn/gates.ts'
import { checkRecord, constantsOf, shrunken } from '../pruning/plan/record.ts'
import { putWeight } from '../sparse/sites.ts'
import { sparseWeights } from '../sparse/sparsify.ts'
import type { SparseWeight } from '../sparse/weight.ts'
import type { Optimizer } from '../train/optim.ts'
import { masksOf, putMasks } from './masks.ts'
import { checkSparsity, checkStored, denseShapes, packedWeight, type SparsityRecord, storePacked, type StoredLayer,
  takePacked } from './packed.ts'
import type { HostTensor } from './weights.ts'

/** Makes a network, with weights of any values, from plain data. */
export type Build<M = unknown> = (options: never) => M

/** A registered name and what its `build` is called with. */
export interface OwnArchitecture {
  type: string
  [option: string]: unknown
}

const builds = new Map<string, Build>()

/**
 * Registers a network of one's own, so that `loadModel` makes it from the name and the options that `saveModel` was
 * given. @throws InputError for a name that is taken by another function, or by an architecture of the package.
 */
export function registerArchitecture(name: string, build: Build): void {
  if (Object.hasOwn(architectures, name) || (builds.get(name) ?? build) !== build) {
    throw new InputError(`registerArchitecture: there is an architecture ${quoted(name)} already; choose another name`)
  }
  builds.set(name, build)
}

/** What goes on from where it was: optimisers of the model, and random streams. */
export interface RunState {
  optimizers?: readonly Optimizer[]
  /** States of random numbers on the device, by names of one's own. */
  random?: Readonly<Record<string, Tensor>>
}

/** What a file says beside the model. */
export interface SaveModelOptions extends RunState {
  /** A registered name with its options (plain data), or an architecture of the package. */
  architecture?: OwnArchitecture
  /** Whether masks of gates are saved too. */
  masks?: boolean
  /** More to keep: text by name. */
  metadata?: Record<string, string>
}

/** A model from a file. */
export interface LoadedModel<M> {
  model: M
  architecture: OwnArchitecture | null
  metadata: Record<string, string>
  /**
   * Puts the saved state into optimisers made for this model, in the order they were saved in, and random streams.
   * @throws InputError where the file has none that fits.
   */
  restore(state: RunState): void
}

interface About {
  format: 1
  architecture: OwnArchitecture | null
  /** Paths of tied tensors, with the path under which the tensor is stored. */
  tied: Record<string, string>
  scatters: Record<string, Scatter>
  constants: Record<string, number>
  /** Weights that are packed in a sparsity pattern, each under its first path. */
  sparsity?: SparsityRecord
}

/** Of a class of the user's own nothing is known but its sizes. */
const emptyRecord = {
  units: [],
  steps: [{ method: 'own', rate: 0, seed: 0, residual: 'closing' as const, scores: '' }],
}

const KEY = 'espalier-model', STATE = '@'

/**
 * The bytes of a model file: weights of any tree, once each where tied, however they were cut or packed.
 * @throws ShapeError for a path that starts with '@', InputError for masks that are not asked for.
 */
export async function encodeModel(model: unknown, options: SaveModelOptions = {}): Promise<Uint8Array> {
  const { architecture = null, masks = false, metadata = {} } = options
  const tensors = new Map<string, TensorToStore>(), tied: Record<string, string> = {}
  const paths = new Map<Tensor | SparseWeight, string>(), packed = new Map(sparseWeights(model))
  for (const [path, weight] of packed) {
    const first = paths.get(weight)
    if (first !== undefined) tied[path] = first
    paths.set(weight, first ?? path)
  }
  for (const [path, leaf, { saved = true, partOf }] of describedLeaves(model)) {
    if (saved !== true || (partOf !== undefined && packed.has(partOf))) continue
    if (path.startsWith(STATE)) throw new ShapeError(`saveModel: the path '${path}' starts with '${STATE}'; rename it`)
    const first = paths.get(leaf)
    if (first !== undefined) tied[path] = first
    else tensors.set(path, await onHost(leaf))
    paths.set(leaf, first ?? path)
  }
  const sparse = await storePacked([...packed].filter(([path]) => !Object.hasOwn(tied, path)), [])
  for (const [path, part] of sparse?.tensors ?? []) tensors.set(path, part)
  if (masks) { for (const [path, mask] of masksOf(model)) tensors.set(path, await onHost(mask)) }
  for (const [name, leaf] of stateTensors(options)) tensors.set(name, await onHost(leaf))
  const about: About = {
    format: 1,
    architecture,
    tied,
    scatters: Object.fromEntries(gatesOf(model).flatMap(([path, { scatter }]) => scatter ? [[path, scatter]] : [])),
    constants: constantsOf(model),
    ...sparse && { sparsity: sparse.record },
  }
  return encodeSafetensors(tensors, { metadata: { ...metadata, [KEY]: JSON.stringify(about) } })
}

/** Writes a model file beside its name and renames it into place; see `encodeModel`. Node only. */
export async function saveModel(path: string, model: unknown, options: SaveModelOptions = {}): Promise<void> {
  const bytes = await encodeModel(model, options)
  const { writeOutput } = await import('../files/output.ts')
  writeOutput(path, bytes)
}

/** How a file is read. */
export interface LoadModelOptions<M> {
  /**
   * A new network of the class, as large as the first one was before anything was cut, which becomes the model and has
   * packed weights where the file does; or a function that makes it from the saved options. Default: the function that
   * is registered under the saved name.
   */
  template?: M | Build<M>
  /** Whether masks of the file are put on the gates. */
  masks?: boolean
  files?: Files
  name?: string
}

/**
 * Reads what `saveModel` wrote, from a path (in a page an address), bytes, a Blob or a File. @throws InputError, one
 * sentence that names the file: where it is no model file, its name is not registered, it does not fit the class, or a
 * packed weight is not what its pattern says.
 */
export async function loadModel<M = unknown>(
  source: ByteSource,
  { template, masks = false, files = nodeFiles, name = 'model' }: LoadModelOptions<M> = {},
): Promise<LoadedModel<M>> {
  const read = await bytesOf(source, files, name, checkStart)
  const { metadata, tensors } = parseSafetensors(read.bytes, read.name)
  try {
    const { [KEY]: text, ...others } = metadata
    const about = aboutOf(text),
      packed = about.sparsity ? takePacked(about.sparsity, tensors) : new Map<string, never>()
    const weights = new Map<string, HostTensor>(), state = new Map<string, StoredTensor>()
    for (const [key, value] of tensors) {
      if (key.startsWith(STATE)) state.set(key, value)
      else weights.set(key, { shape: value.shape, data: value.data as Float32Array })
    }
    const model = fill(made(about, template), about, { weights, packed }, masks)
    const restore = (given: RunState) => restoreState(given, state, read.name)
    return { model, architecture: about.architecture, metadata: others, restore }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    throw new InputError(`${plain(read.name)}: ${error.message}`, { cause: error })
  }
}

function aboutOf(text: string | undefined): About {
  let value: unknown = null
  try {
    value = JSON.parse(text ?? 'null')
  } catch {
    // said below
  }
  const about = value as Partial<About> | null
  const isObject = (each: unknown) => typeof each === 'object' && each !== null && !Array.isArray(each)
  if (!isObject(about) || about!.format !== 1) {
    throw new InputError(
      `expected a file that saveModel wrote, its metadata is ${shown(text ?? null)}; loadCheckpoint reads checkpoints`,
    )
  }
  const { architecture, tied, scatters, constants, sparsity } = about!
  const good = (architecture === null || (isObject(architecture) && typeof architecture!.type === 'string'))
    && isObject(tied) && Object.values(tied!).every((path) => typeof path === 'string')
  if (!good) throw new InputError(`its metadata ${KEY} is damaged; save the model anew`)
  checkRecord({ ...emptyRecord, scatters, constants })
  if (sparsity !== undefined) checkSparsity(sparsity)
  return about as About
}

function made<M>({ architecture }: About, template: M | Build<M> | undefined): M {
  const { type, ...options } = architecture ?? {}
  if (typeof template === 'function') return (template as Build<M>)(options as never)
  if (template !== undefined) return template
  if (type === undefined) throw new InputError('it names no architecture; give a template, a new network of its class')
  const build = builds.get(type)
  if (build) return build(options as never) as M
  if (Object.hasOwn(architectures, type)) return buildModel(architecture!, 'its architecture') as M
  throw new InputError(
    `its architecture ${quoted(type)} is not registered; call registerArchitecture(${
      quoted(type)
    }, build), or give a template`,
  )
}

/** What a file holds: tensors, and packed weights. */
interface Content {
  weights: Map<string, HostTensor>
  packed: ReadonlyMap<string, StoredLayer>
}

/** Roles of what a layer multiplies by, which alone are ever packed. */
const multiplied: ReadonlySet<LeafRole> = new Set(['weight', 'query', 'key', 'value', 'projection', 'classifier'])

/** A new network with the sizes and values of a file. */
function fill<M>(fresh: M, about: About, { weights, packed }: Content, masks: boolean): M {
  unpack(fresh)
  const taken = new Map([...weights].filter(([path]) => isMask(fresh, path)))
  for (const path of taken.keys()) weights.delete(path)
  const firstOf = (path: string) => Object.hasOwn(about.tied, path) ? about.tied[path] : path
  const expected = describedLeaves(fresh).filter(([, , { saved = true }]) => saved === true)
  const places = new Set(expected.map(([path]) => firstOf(path))), dense = denseShapes(packed)
  const missing = expected.find(([path]) => !weights.has(firstOf(path)) && !dense.has(firstOf(path))),
    extra = [...weights.keys()].find((path) => !places.has(path))
  if (missing) {
    throw new InputError(`it lacks ${quoted(firstOf(missing[0]))}, which the class has; is it of another class?`)
  }
  if (extra !== undefined) {
    throw new InputError(`it has ${quoted(extra)}, which the class lacks; is it of another class?`)
  }
  const twice = [...dense.keys()].find((path) => weights.has(path) || Object.hasOwn(about.tied, path))
  if (twice !== undefined) {
    throw new InputError(
      `it has ${quoted(twice)} packed, and once more ${weights.has(twice) ? 'as a tensor' : 'as a tied one'}; `
        + 'the file is damaged, save the model anew',
    )
  }
  const odd = expected.find(([path, , { role = 'weight' }]) => dense.has(firstOf(path)) && !multiplied.has(role))
  if (odd) {
    throw new InputError(
      `it has ${quoted(odd[0])} packed, which in the class is no weight but of the role ${quoted(odd[2].role!)}; `
        + 'the file is damaged, or of another class',
    )
  }
  const shapes = new Map(expected.map(([path]) => {
    const first = firstOf(path)
    return [path, dense.get(first) ?? weights.get(first)!.shape] as const
  }))
  // Every path anew: what is tied is what the file says, whatever the class does when new.
  const record = { ...emptyRecord, scatters: about.scatters, constants: about.constants }
  const sized = shrunken(mapTree(fresh, (leaf) => leaf), shapes, record)
  const layers = checkStored(sized, packed)
  const dtypes = new Map(expected.map(([path, { dtype }]) => [path, dtype])), done = new Map<string, Tensor>()
  const model = mapTree(sized, (leaf, path) => {
    if (!dtypes.has(path) || dense.has(firstOf(path))) return leaf
    const first = firstOf(path), known = done.get(first)
    if (known) return known
    const { shape, data } = weights.get(first)!
    const value = tensor(valuesOf(data, dtypes.get(path)!, path), [...shape], dtypes.get(path))
    done.set(first, value)
    return value
  }, { untie: true })
  for (const [first, layer] of layers) {
    const weight = packedWeight(layer, first)
    for (const [path] of expected) if (firstOf(path) === first) putWeight(model, path, weight)
  }
  const kept = new Set(describedLeaves(model).map(([, leaf]) => leaf))
  for (const [, leaf] of [...describedLeaves(sized), ...describedLeaves(fresh)]) if (!kept.has(leaf)) leaf.dispose()
  if (masks) putMasks(model, taken)
  return model
}

/** Tensors in the places of packed weights: a template gives its sizes alone, and may be packed in another way. */
function unpack(model: unknown): void {
  for (const [path, weight] of sparseWeights(model)) {
    putWeight(model, path, empty([...weight.shape]))
    disposeTree(weight)
  }
}

const isMask = (model: unknown, path: string): boolean =>
  path.endsWith('.mask') && gatesOf(model).some(([gate]) => `${gate}.mask` === path)

async function onHost(leaf: Tensor): Promise<TensorToStore> {
  const data = await leaf.data()
  return {
    shape: leaf.shape,
    data: data instanceof Float32Array ? data : new Int32Array(data.buffer, data.byteOffset, data.length),
  }
}

/** Values as a tensor of this type takes them. @throws InputError where a file has integers for floats or so. */
function valuesOf(data: unknown, dtype: Tensor['dtype'], path: string): Float32Array | Int32Array | Uint32Array {
  if (dtype === 'f32' && data instanceof Float32Array) return data
  if (dtype === 'i32' && data instanceof Int32Array) return data
  if (dtype === 'u32' && data instanceof Int32Array) {
    return new Uint32Array(data.buffer as ArrayBuffer, data.byteOffset, data.length)
  }
  throw new InputError(`tensor ${quoted(path)} is not of type ${dtype}, as in its class; is it of another class?`)
}

/** Tensors of a run's state by the name they are stored under. */
function stateTensors({ optimizers = [], random = {} }: RunState): Map<string, Tensor> {
  const all = new Map<string, Tensor>()
  optimizers.forEach(({ state }, i) => {
    all.set(`${STATE}optimizer.${i}.control`, state.control)
    for (const [path, moments] of state.moments) {
      moments.forEach((moment, n) => all.set(`${STATE}optimizer.${i}.moment.${n}.${path}`, moment))
    }
  })
  for (const [name, stream] of Object.entries(random)) all.set(`${STATE}random.${name}`, stream)
  return all
}

function restoreState(given: RunState, state: ReadonlyMap<string, StoredTensor>, name: string): void {
  const wanted = stateTensors(given)
  for (const [key, tensor] of wanted) {
    const found = state.get(key)
    if (found?.shape.join() !== tensor.shape.join()) {
      const has = found ? `has shape [${found.shape}], expected [${tensor.shape}]` : 'is missing'
      throw new InputError(`${plain(name)}: the state ${quoted(key)} ${has}; was it saved with this optimiser?`)
    }
  }
  for (const [key, tensor] of wanted) tensor.write(valuesOf(state.get(key)!.data, tensor.dtype, key))
}

// Packed weights in files: values under `<weight>.values`, the pattern's arrays under `<weight>.index.<name>` as
// integers, and a record of what they are in the metadata. A pattern of the package lies in its own layout; one of a
// user's file is listed (first tile of each row, column of each tile), so that a file needs no program to be read.
import { sizeOf } from '../base/shape.ts'
import { InputError } from '../base/errors.ts'
import { quoted, shown } from '../base/quote.ts'
import { leaves } from '../core/tree.ts'
import type { StoredTensor, TensorToStore } from '../files/safetensors.ts'
import type { Model } from '../nn/model.ts'
import { checkPacked } from '../sparse/check-packed.ts'
import { listedIndex, listedWalk } from '../sparse/listed.ts'
import { definePattern, type MatrixShape, type Packed, type Pattern } from '../sparse/pattern.ts'
import { patternOf } from '../sparse/registry.ts'
import { putWeight } from '../sparse/sites.ts'
import { stripOf, type Tile } from '../sparse/tiles.ts'
import { SparseWeight } from '../sparse/weight.ts'

/** One packed weight as a file says it. */
export interface PackedRecord {
  /** The pattern's text form, parameters included. */
  pattern: string
  /** Places are listed whatever the pattern's own layout: it is of a user's file. */
  listed?: true
  tile: Tile
  /** Tiles that are stored. */
  slots: number
  outputs: readonly number[]
  inputs: readonly number[]
  /** Entries that are stored, as a share of all. */
  density: number
}

/** One packing: by which criterion, how much was asked for. */
export interface SparsityStep {
  method: string
  pattern: string
  density: number
  ranking: 'global' | 'per-unit'
  seed: number
  scores: string
}

/** What a file says of its packed weights, by path. */
export interface SparsityRecord {
  format: 1
  layers: Record<string, PackedRecord>
  steps: SparsityStep[]
}

/** A packed weight that was read and checked. */
export interface PackedLayer extends Pick<PackedRecord, 'outputs' | 'inputs'> {
  pattern: Pattern
  packed: Packed
}

const cure = 'prune the dense file again'
/** More entries than any weight has. */
const MOST = 2 ** 30

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isWhole = (value: unknown, least: number, most = MOST): value is number =>
  Number.isInteger(value) && value as number >= least && value as number <= most
const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.length <= 8 && value.every((size) => isWhole(size, 1))

/** A record of a file, with everything in it of the right kind. @throws InputError saying what is wrong. */
export function checkSparsity(value: unknown): SparsityRecord {
  const { format, layers, steps } = isObject(value) ? value : {}
  if (format !== 1) {
    throw new InputError(
      `metadata espalier has a sparsity of format ${
        shown(format ?? null, 30)
      }, expected 1; the file is damaged or from `
        + 'a newer version',
    )
  }
  if (!isObject(layers) || !Object.keys(layers).length || !Array.isArray(steps) || !steps.every(isStep)) {
    throw new InputError(
      `metadata espalier has a sparsity without layers and steps (method, pattern, density, ranking, seed, `
        + `scores); ${cure}`,
    )
  }
  for (const [path, layer] of Object.entries(layers)) {
    const { pattern, listed, tile, slots, outputs, inputs, density } = isObject(layer) ? layer : {}
    const good = typeof pattern === 'string' && (listed === undefined || listed === true)
      && isSizes(tile) && tile.length === 2 && isWhole(slots, 0) && isSizes(outputs) && isSizes(inputs)
      && typeof density === 'number' && density >= 0 && density <= 1
      && sizeOf(outputs) * sizeOf(inputs) <= MOST && slots * tile[0] * tile[1] <= 2 * MOST
    if (good) continue
    throw new InputError(
      `metadata espalier: the packed weight ${quoted(path, 60)} is ${
        shown(layer, 80)
      }, expected pattern, tile, slots, outputs, inputs and density; ${cure}`,
    )
  }
  return value as SparsityRecord
}

const isStep = (step: unknown) =>
  isObject(step) && ['method', 'pattern', 'scores'].every((key) => typeof step[key] === 'string')
  && ['density', 'seed'].every((key) => Number.isFinite(step[key]))
  && (step.ranking === 'global' || step.ranking === 'per-unit')

/** The pattern of a layer. @throws InputError for a name that no pattern of the package has. */
function patternFor(path: string, { pattern, listed, tile }: PackedRecord): Pattern {
  if (listed) return listedPattern(pattern, tile)
  try {
    return patternOf(pattern)
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    throw new InputError(`${named(path)}: ${error.message}; the file is damaged or from a newer version`, {
      cause: error,
    })
  }
}

/** A pattern of a user's file, as far as a checkpoint knows it: where tiles stand, not how they are chosen. */
function listedPattern(name: string, tile: Tile): Pattern {
  return definePattern({
    name,
    summary: `${name}, as a file has it`,
    tile,
    keep() {
      throw new InputError(
        `pattern ${quoted(name)}: a checkpoint holds where its tiles stand and not how they are chosen; give its file`,
      )
    },
  })
}

/** The tensors of a packed weight, as they lie in a file. */
export interface StoredLayer {
  record: PackedRecord
  pattern: Pattern
  values: StoredTensor
  index: Readonly<Record<string, StoredTensor>>
}

/**
 * Takes the tensors of packed weights out of a file's. @throws InputError for one that is missing or of another kind,
 * and for an unknown pattern.
 */
export function takePacked(
  { layers }: SparsityRecord,
  tensors: Map<string, StoredTensor>,
): Map<string, StoredLayer> {
  return new Map(
    Object.entries(layers).map(([path, record]) => {
      const pattern = patternFor(path, record)
      const take = (name: string, floats: boolean): StoredTensor => {
        const key = `${path}.${name}`, found = tensors.get(key)
        tensors.delete(key)
        if (found && (floats ? found.data instanceof Float32Array : found.data instanceof Int32Array)) return found
        throw new InputError(
          `${named(path)}: its tensor ${quoted(key, 80)} is ${found?.type ?? 'missing'}, expected ${
            floats ? 'F32 or F16' : 'I32'
          }; ${cure}`,
        )
      }
      const values = take('values', true)
      const index = Object.fromEntries(pattern.walk.index.map((name) => [name, take(`index.${name}`, false)]))
      return [path, { record, pattern, values, index }]
    }),
  )
}

/**
 * Packed weights against the model that they belong to, which has tensors in their places, and against their patterns.
 * @throws InputError where the model has none there or of another shape, and as `checkPacked` does.
 */
export function checkStored(model: unknown, stored: ReadonlyMap<string, StoredLayer>): Map<string, PackedLayer> {
  const tensors = new Map(leaves(model))
  return new Map([...stored].map(([path, { record, pattern, values, index }]) => {
    const { outputs, inputs, tile, slots } = record, dense = tensors.get(path)
    // Sizes first: what follows is made as large as they say.
    if (dense?.shape.join() !== [...outputs, ...inputs].join()) {
      throw new InputError(
        `${named(path)}: it is of [${[...outputs, ...inputs]}], the architecture has ${
          dense ? `[${dense.shape}]` : 'nothing'
        } there; ${cure}`,
      )
    }
    const strip = stripOf(tile[0]), expected = [Math.max(1, slots), tile[0] / strip, tile[1], strip]
    if (values.shape.join() !== expected.join()) {
      throw new InputError(
        `${named(path)}: its values are [${values.shape}], expected [${expected}] for ${slots} tiles of ${
          tile.join('x')
        }; ${cure}`,
      )
    }
    const lists = Object.entries(index).map(([name, { data, shape }]): [string, Uint32Array] => {
      const { buffer, byteOffset, length } = data as Int32Array
      if (shape.length === 1) return [name, new Uint32Array(buffer, byteOffset, length)]
      throw new InputError(`${named(path)}: its index ${quoted(name)} is [${shape}], expected a list; ${cure}`)
    })
    const packed: Packed = {
      shape: [sizeOf(outputs), sizeOf(inputs)],
      tile,
      slots,
      values: values.data as Float32Array,
      index: Object.fromEntries(lists),
    }
    checkPacked(pattern, packed, named(path))
    return [path, { pattern, packed, outputs, inputs }]
  }))
}

const named = (path: string) => `packed weight ${quoted(path, 60)}`

/** The shapes of the tensors that packed weights stand for. */
export const denseShapes = (stored: ReadonlyMap<string, StoredLayer>): Map<string, number[]> =>
  new Map([...stored].map(([path, { record: { outputs, inputs } }]) => [path, [...outputs, ...inputs]]))

/** A packed weight on the device. */
export const packedWeight = ({ pattern, packed, outputs, inputs }: PackedLayer, path: string): SparseWeight =>
  new SparseWeight(pattern, packed, { outputs, inputs }, path)

/** Puts packed weights into a model, in the places of tensors, which are freed. */
export function putPacked(model: unknown, layers: ReadonlyMap<string, PackedLayer>): void {
  const tensors = new Map(leaves(model))
  for (const [path, layer] of layers) {
    putWeight(model, path, packedWeight(layer, path))
    tensors.get(path)!.dispose()
  }
}

/** A model of the same architecture, perhaps for other images, with a file's packed weights if it has any. */
export function withPacked<M extends Model>(model: M, file: { packed: ReadonlyMap<string, PackedLayer> } | null): M {
  if (file) putPacked(model, file.packed)
  return model
}

/** The tensors of packed weights by the names they have in a file, and the record; null where there are none. */
export async function storePacked(
  found: readonly (readonly [path: string, weight: SparseWeight])[],
  steps: readonly SparsityStep[],
): Promise<{ tensors: Map<string, TensorToStore>, record: SparsityRecord } | null> {
  if (!found.length) return null
  const tensors = new Map<string, TensorToStore>(), layers: Record<string, PackedRecord> = {}
  for (const [path, weight] of found) {
    const { pattern, shape, tile, slots, outputs, inputs } = weight.packing, packed = await weight.packed()
    const listed = !isOurs(pattern, shape, tile), walk = listed ? listedWalk : pattern.walk
    const index = listed ? listedIndex(pattern.positions(packed), shape, tile) : packed.index
    layers[path] = {
      pattern: pattern.name,
      ...listed && { listed },
      tile,
      slots,
      outputs,
      inputs,
      density: weight.kept / (shape[0] * shape[1]),
    }
    tensors.set(`${path}.values`, { shape: weight.values.shape, data: packed.values })
    for (const name of walk.index) {
      const { buffer, byteOffset, length } = index[name]
      tensors.set(`${path}.index.${name}`, { shape: [length], data: new Int32Array(buffer, byteOffset, length) })
    }
  }
  return { tensors, record: { format: 1, layers, steps: [...steps] } }
}

/** Whether a pattern is one of the package, which a file's name of it leads back to. */
function isOurs({ name, walk }: Pattern, shape: MatrixShape, tile: Tile): boolean {
  try {
    const ours = patternOf(name)
    return ours.walk.wgsl === walk.wgsl && ours.tile(shape).join() === tile.join()
  } catch {
    return false
  }
}

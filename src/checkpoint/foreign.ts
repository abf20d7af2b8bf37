// Files that other programs wrote: their tensors under names known here, and the configuration beside them.
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { withoutDevice } from '../core/tensor.ts'
import { leaves } from '../core/tree.ts'
import type { Files } from '../files/files.ts'
import type { StoredTensor } from '../files/safetensors.ts'
import type { PruningRecord } from '../pruning/plan/record.ts'
import { graphType } from '../../models/graph.ts'
import { type Architecture, buildModel } from '../../models/registry.ts'
import { adapt, asTwoLogits, commonPrefix } from './adapt.ts'
import type { SideFile } from './config.ts'
import { published, type Shapes } from './published.ts'
import { refuseVariants } from './variants.ts'
import { type HostTensor, layoutOf } from './weights.ts'

const unread = /(^|\.)(num_batches_tracked|relative_position_index|attn_mask)$/

/** `config.json` and `preprocessor_config.json` beside a file, those that `pull` names after it first. */
export async function besideOf(path: string, files: Files): Promise<SideFile[]> {
  const folder = path.replace(/[^/\\]*$/, ''), stem = path.slice(folder.length).replace(/\.safetensors$/i, '')
  const found: SideFile[] = []
  for (const file of ['preprocessor_config.json', 'config.json']) {
    for (const name of [`${stem}-${file}`, `${stem}.${file}`, file]) {
      if (!await files.exists(folder + name)) continue
      found.push({ name, text: new TextDecoder().decode(await files.read(folder + name)) })
      break
    }
  }
  return found
}

/** Weights, and tensors that are none. */
export function separate(tensors: ReadonlyMap<string, StoredTensor>) {
  const weights = new Map<string, HostTensor>(), others = new Map<string, StoredTensor>()
  for (const [key, tensor] of tensors) {
    if (unread.test(key)) others.set(key, tensor)
    else weights.set(key, { shape: tensor.shape, data: floats(key, tensor) })
  }
  return { weights, others }
}

/**
 * A published file's tensors under names known here: without prefix, empty tensors and counters, folded where equal.
 */
export function readPublished(tensors: ReadonlyMap<string, StoredTensor>) {
  const notes: string[] = []
  const counted = [...tensors].filter(([key, { shape }]) => {
    if (key === 'n_averaged') return false // torch's AveragedModel counts its updates
    if (!shape.includes(0)) return true
    notes.push(`the empty tensor ${JSON.stringify(key.slice(0, 80))} is left out`)
    return false
  })
  const prefix = commonPrefix(counted.map(([key]) => key), isKnown)
  if (prefix) notes.push(`the prefix ${JSON.stringify(prefix)}, common to all tensors, is taken off`)
  const { weights, others } = separate(new Map(counted.map(([key, tensor]) => [key.slice(prefix.length), tensor])))
  const adapted = adapt(weights)
  refuseVariants(new Map([...adapted.weights].map(([key, { shape }]) => [key, shape])))
  return { weights: adapted.weights, others, notes: [...notes, ...adapted.notes] }
}

function isKnown(names: readonly string[]): boolean {
  const shapes: Shapes = new Map(names.map((name) => [name, []]))
  return Object.values(published).some(({ fits }) => fits(shapes))
}

function floats(key: string, { type, data }: StoredTensor): Float32Array {
  if (data instanceof Float32Array) return data
  throw new InputError(
    `tensor ${quoted(key, 60)} is ${type}, expected F32, F16 or BF16; quantised checkpoints must be converted first`,
  )
}

/**
 * A network with one logit z is read as one with two, -z/2 and z/2: the same sigmoid and the same loss, and top-1 is
 * the decision z > 0.
 */
export function withTwoLogits(
  architecture: Architecture,
  naming: string,
  weights: Map<string, HostTensor>,
  pruning: PruningRecord | undefined,
  name: string,
): { architecture: Architecture, weights: Map<string, HostTensor>, notes: string[] } {
  if (architecture.classes !== 1 || pruning || architecture.type === graphType) {
    return { architecture, weights, notes: [] }
  }
  const two = { ...architecture, classes: 2 }
  const shapesOf = (each: Architecture) =>
    new Map(withoutDevice(() => leaves(buildModel(each, name))).map(([path, { shape }]) => [path, shape.join()]))
  const before = shapesOf(architecture)
  const grown = new Set([...shapesOf(two)].flatMap(([path, shape]) => before.get(path) === shape ? [] : [path]))
  const one = withoutDevice(() => buildModel(architecture, name))
  const layout = naming === 'espalier' ? null : layoutOf(one, published[naming].naming(architecture), weights.keys())
  const pathsOf = (key: string) => layout ? layout.get(key)?.paths ?? [] : [key]
  return {
    architecture: two,
    weights: new Map(
      [...weights].map(([key, tensor]) =>
        [key, pathsOf(key).some((path) => grown.has(path)) ? asTwoLogits(tensor) : tensor] as const
      ),
    ),
    notes: ['it has one logit z, read as a binary decision: class 1 where z > 0, else class 0 (logits -z/2 and z/2)'],
  }
}

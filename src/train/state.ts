// Everything a training run needs to go on to the same numbers, in one safetensors file beside the checkpoint: weights,
// their moving average, parameters beside them, moments and control values of the optimisers, the state of the device's
// random numbers, what hooks keep, and the history so far.
import { InputError } from '../base/errors.ts'
import type { Model } from '../nn/model.ts'
import type { Tensor } from '../core/tensor.ts'
import type { TrainingState } from './fit.ts'
import { leaves } from '../core/tree.ts'
import { encodeSafetensors, parseSafetensors, type TensorToStore } from '../files/safetensors.ts'

/** What a test set said after an epoch. */
export interface EpochTest {
  top1: number
  top5: number
  loss: number
}

/**
 * How far a run is: epochs done, losses by epoch and step, tests by epoch, and the recipe that must not change in
 * between.
 */
export interface TrainingHistory {
  epoch: number
  losses: number[]
  steps: number[]
  tests: EpochTest[]
  recipe: Record<string, unknown>
  /** Whether a hook ended the run before its last epoch. */
  finished?: boolean
}

/** The file that belongs to a checkpoint: `net.safetensors` has `net.state.safetensors`. */
export const stateFileOf = (checkpoint: string): string =>
  `${checkpoint.replace(/\.safetensors$/i, '')}.state.safetensors`

/** Every tensor of a run by the name it is stored under. */
function tensorsOf(model: Model, { groups, random, average, extra, hooks }: TrainingState): Map<string, Tensor> {
  const all = new Map<string, Tensor>()
  groups.forEach(({ optimizer: { state } }, i) => {
    const group = i ? `group.${i}.` : ''
    all.set(`${group}control`, state.control)
    for (const [path, moments] of state.moments) {
      moments.forEach((moment, n) => {
        all.set(`${group}moment.${n}.${path}`, moment)
      })
    }
  })
  all.set('random', random)
  for (const [path, leaf] of leaves(model)) if (leaf.dtype === 'f32') all.set(`model.${path}`, leaf)
  for (const [path, leaf] of leaves(average)) if (leaf.dtype === 'f32') all.set(`average.${path}`, leaf)
  for (const [path, leaf] of leaves({ extra })) all.set(path, leaf)
  for (const { name, tensors } of hooks) {
    for (const [path, leaf] of leaves(tensors)) all.set(`hook.${name}.${path}`, leaf)
  }
  return all
}

/** The bytes of a state file. */
export async function encodeState(model: Model, state: TrainingState, history: TrainingHistory): Promise<Uint8Array> {
  const tensors = new Map<string, TensorToStore>()
  for (const [name, tensor] of tensorsOf(model, state)) {
    const data = await tensor.data()
    tensors.set(name, {
      shape: tensor.shape,
      data: data instanceof Float32Array ? data : new Int32Array(data.buffer, data.byteOffset, data.length),
    })
  }
  const kept = state.hooks.flatMap((hook) => hook.save ? [[hook.name, hook.save()] as const] : [])
  const hooks = kept.length ? { hooks: Object.fromEntries(kept) } : {}
  const about = { format: 1, ...history, ...hooks, ...state.finished ? { finished: true } : {} }
  return encodeSafetensors(tensors, { metadata: { 'espalier-training': JSON.stringify(about) } })
}

type Stored = Partial<TrainingHistory & { format: number, hooks: Record<string, unknown> }>

/** A state file that was read: its history, and a function that puts its tensors into a run. */
export interface StoredState {
  history: TrainingHistory
  /** @throws InputError if the run is of another model. */
  restore(model: Model, state: TrainingState): void
}

/** Reads a state file. @throws InputError, one sentence that names it. */
export function parseState(bytes: Uint8Array, name: string): StoredState {
  const { metadata, tensors } = parseSafetensors(bytes, name)
  const about = read(metadata['espalier-training'])
  const kept = about?.hooks ?? {}
  return {
    history: historyOf(about, name),
    restore(model, state) {
      state.finished = about?.finished === true
      for (const [key, tensor] of tensorsOf(model, state)) {
        const found = tensors.get(key)
        if (!found || found.shape.join() !== tensor.shape.join()) {
          const has = found ? `has shape [${found.shape}]` : 'is missing'
          throw new InputError(
            `${name}: '${key}' ${has}, this run needs [${tensor.shape}]; it is the state of another run, `
              + 'name another --out',
          )
        }
        const { data } = found, Stored = tensor.dtype === 'i32' ? Int32Array : Uint32Array
        tensor.write(
          data instanceof Float32Array ? data : new Stored(data.buffer as ArrayBuffer, data.byteOffset, data.length),
        )
      }
      for (const hook of state.hooks) if (hook.load && hook.name in kept) hook.load(kept[hook.name])
    },
  }
}

function historyOf(value: Stored | null, name: string): TrainingHistory {
  const numbers = (list: unknown) => Array.isArray(list) && list.every(Number.isFinite)
  const complete = value !== null && value.format === 1 && Number.isInteger(value.epoch) && numbers(value.losses)
    && numbers(value.steps)
    && value.losses!.length === value.epoch && Array.isArray(value.tests) && typeof value.recipe === 'object'
    && value.recipe !== null
  if (!complete) {
    throw new InputError(
      `${name}: expected the metadata of a training run, found none or a damaged one; start without --resume`,
    )
  }
  const { epoch, losses, steps, tests, recipe, finished } = value as TrainingHistory
  return { epoch, losses, steps, tests, recipe, ...finished ? { finished } : {} }
}

function read(text: string | undefined): Stored | null {
  try {
    return JSON.parse(text ?? 'null') as Stored | null
  } catch {
    return null
  }
}

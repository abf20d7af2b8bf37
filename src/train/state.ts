// Everything a training run needs to go on to the same numbers, in one safetensors file beside the checkpoint: weights,
// their moving average, the optimiser's moments and control values, the state of the device's random numbers, and the
// course so far.
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
export interface Course {
  epoch: number
  losses: number[]
  steps: number[]
  tests: EpochTest[]
  recipe: Record<string, unknown>
}

/** The file that belongs to a checkpoint: `net.safetensors` has `net.state.safetensors`. */
export const stateFileOf = (checkpoint: string): string =>
  `${checkpoint.replace(/\.safetensors$/i, '')}.state.safetensors`

/** Every tensor of a run by the name it is stored under. */
function tensorsOf(model: Model, { optimizer, random, average }: TrainingState): Map<string, Tensor> {
  const all = new Map<string, Tensor>([['control', optimizer.state.control], ['random', random]])
  for (const [path, leaf] of leaves(model)) if (leaf.dtype === 'f32') all.set(`model.${path}`, leaf)
  for (const [path, leaf] of leaves(average)) if (leaf.dtype === 'f32') all.set(`average.${path}`, leaf)
  for (const [path, moments] of optimizer.state.moments) {
    moments.forEach((moment, i) => {
      all.set(`moment.${i}.${path}`, moment)
    })
  }
  return all
}

/** The bytes of a state file. */
export async function encodeState(model: Model, state: TrainingState, course: Course): Promise<Uint8Array> {
  const tensors = new Map<string, TensorToStore>()
  for (const [name, tensor] of tensorsOf(model, state)) {
    const data = await tensor.data()
    tensors.set(name, {
      shape: tensor.shape,
      data: data instanceof Float32Array ? data : new Int32Array(data.buffer, data.byteOffset, data.length),
    })
  }
  return encodeSafetensors(tensors, { metadata: { 'espalier-training': JSON.stringify({ format: 1, ...course }) } })
}

/** A state file that was read: its course, and a function that puts its tensors into a run. */
export interface StoredState {
  course: Course
  /** @throws InputError if the run is of another model. */
  restore(model: Model, state: TrainingState): void
}

/** Reads a state file. @throws InputError, one sentence that names it. */
export function parseState(bytes: Uint8Array, name: string): StoredState {
  const { metadata, tensors } = parseSafetensors(bytes, name)
  return {
    course: courseOf(metadata['espalier-training'], name),
    restore(model, state) {
      for (const [key, tensor] of tensorsOf(model, state)) {
        const found = tensors.get(key)
        if (!found || found.shape.join() !== tensor.shape.join()) {
          const has = found ? `has shape [${found.shape}]` : 'is missing'
          throw new InputError(
            `${name}: '${key}' ${has}, this run needs [${tensor.shape}]; it is the state of another run, name another --out`,
          )
        }
        const { data } = found
        tensor.write(
          data instanceof Float32Array
            ? data
            : new Uint32Array(data.buffer as ArrayBuffer, data.byteOffset, data.length),
        )
      }
    },
  }
}

function courseOf(text: string | undefined, name: string): Course {
  const value = read(text)
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
  const { epoch, losses, steps, tests, recipe } = value as unknown as Course
  return { epoch, losses, steps, tests, recipe }
}

function read(text: string | undefined): Partial<Course & { format: number }> | null {
  try {
    return JSON.parse(text ?? 'null') as Partial<Course & { format: number }> | null
  } catch {
    return null
  }
}

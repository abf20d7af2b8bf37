// Masks in files: only where asked, since what is learned of a network is not the network.
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { type Tensor, tensor, withoutDevice } from '../core/tensor.ts'
import { trace } from '../core/transform.ts'
import { Gate } from '../nn/gate.ts'
import { gatesOf } from '../nn/gates.ts'
import type { Model } from '../nn/model.ts'
import type { HostTensor } from './weights.ts'

/** The masks of a model by the path of the leaf, `blocks.0.attention.heads.mask`; gates without one are left out. */
export function masksOf(model: unknown): Map<string, Tensor> {
  return new Map(gatesOf(model).flatMap(([path, { mask }]) => mask ? [[`${path}.mask`, mask]] : []))
}

/** Takes the masks of a model's gates out of a file's tensors. */
export function takeMasks(model: unknown, tensors: Map<string, HostTensor>): Map<string, HostTensor> {
  const taken = new Map<string, HostTensor>()
  for (const [gate] of gatesOf(model)) {
    const path = `${gate}.mask`, found = tensors.get(path)
    if (found) taken.set(path, found)
    tensors.delete(path)
  }
  return taken
}

/**
 * Checks masks against the activations they multiply, in a trace for one image of `input`. @throws InputError for a
 * mask that is neither [...sizes of the gate's axes] nor that with one row per class in front.
 */
export function checkMasks(
  model: Model,
  masks: ReadonlyMap<string, HostTensor>,
  input: readonly [number, number, number],
): void {
  if (!masks.size) return
  const { calls } = withoutDevice(() => trace((image) => model.call(image([1, ...input]))))
  const sizes = new Map<unknown, number[]>()
  for (const { op, args, attrs } of calls) {
    const { at } = attrs as { at?: unknown }
    if (op.name === 'gate' && at instanceof Gate) sizes.set(at, at.axes.map((axis) => args[0]!.shape.at(axis)!))
  }
  const gates = new Map(gatesOf(model))
  for (const [path, { shape }] of masks) {
    const size = sizes.get(gates.get(path.replace(/\.mask$/, '')))
    if (!size || shape.join() === size.join() || (shape.slice(1).join() === size.join() && shape[0] > 0)) continue
    throw new InputError(
      `mask '${plain(path)}' is [${shape}], expected [${size}] or [classes,${size}]; it is of another network`,
    )
  }
}

/** Puts masks on the gates of a model. @throws InputError where there is no such gate. */
export function putMasks(model: unknown, masks: ReadonlyMap<string, HostTensor>): void {
  const gates = new Map(gatesOf(model))
  for (const [path, { shape, data }] of masks) {
    const gate = gates.get(path.replace(/\.mask$/, ''))
    if (!gate) throw new InputError(`mask '${plain(path)}': the model has no such gate`)
    gate.mask?.dispose()
    gate.mask = tensor(data, [...shape])
  }
}

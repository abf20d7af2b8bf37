// Masks that are computed, or differ between images: tensors that stand in for the masks of gates during a call.
//   B images, H elements of a gate
import { ShapeError } from '../base/errors.ts'
import { assume } from '../core/assume.ts'
import { type Tensor, tensor } from '../core/tensor.ts'
import { gather } from '../ops/gather.ts'
import { type MaskOf, replacingMasks } from './gate.ts'
import { gatesOf } from './gates.ts'

/** Masks by the path of their gate; null is no mask, a function makes one of the gate's activation. */
export type Masks = ReadonlyMap<string, Tensor | MaskOf | null> | Readonly<Record<string, Tensor | MaskOf | null>>

/**
 * Runs `work` with these tensors as the masks of a model's gates. They may be anything on the tape (a soft mask of
 * parameters, one made hard by `straightThrough`), per element ([H], or [heads, channels] for a gate over both) or per
 * image ([B, H], [B, heads, channels]); gradients go back into them, so this works within `valueAndGrad` and `compile`.
 * Gates that are not named keep what they have. Calls nest; `work` must not be asynchronous.
 * @throws ShapeError for a path at which there is no gate, and for asynchronous work.
 */
export function withMasks<R>(model: unknown, masks: Masks, work: () => R): R {
  const given: Iterable<[string, Tensor | MaskOf | null]> = masks instanceof Map
    ? masks as ReadonlyMap<string, Tensor | MaskOf | null>
    : Object.entries(masks as Readonly<Record<string, Tensor | MaskOf | null>>)
  const gates = new Map(gatesOf(model))
  const result = replacingMasks(
    new Map([...given].map(([path, mask]) => {
      const gate = gates.get(path)
      if (!gate) {
        throw new ShapeError(
          `withMasks: no gate at '${path}'; the model has ${[...gates.keys()].slice(0, 6).join(', ') || 'none'}`,
        )
      }
      return [gate, mask]
    })),
    work,
  )
  if (result instanceof Promise) {
    throw new ShapeError('withMasks: the work is asynchronous; what follows an await would not see the masks')
  }
  return result
}

/**
 * Runs `work` with each image under the masks of its class: of every gate whose mask has a row per class, `labels`
 * [B] (i32) picks the images' rows. Only rows are copied, never activations; the gradient of a row is the sum over the
 * images of its class. Gates with other masks keep them.
 */
export function withClassMasks<R>(model: unknown, labels: Tensor, work: () => R): R {
  const masks = new Map(
    gatesOf(model).flatMap(([path, gate]): [string, Tensor][] => {
      const mask = assume(() => gate.mask)
      return mask?.shape.length === gate.axes.length + 1 ? [[path, gather(mask, labels, { axis: 0 })]] : []
    }),
  )
  return withMasks(model, masks, work)
}

/**
 * Runs `work`, which traces shapes for `images` images, with those of the first class in place of masks that have a row
 * per class: what a network costs and which slices go together is the same for all. The masks stay leaves of what is
 * traced, so that a cut takes their columns along.
 */
export function withAnyClass<R>(model: unknown, images: number, work: () => R): R {
  const perClass = gatesOf(model).some(([, { mask, axes }]) => mask?.shape.length === axes.length + 1)
  return perClass ? withClassMasks(model, tensor(new Int32Array(images)), work) : work()
}

// Multiply-adds and parameters by layer, read off the traced calls of a forward pass: nothing is known of any
// architecture.
import { InputError, ShapeError } from '../base/errors.ts'
import { withAnyClass } from './masks.ts'
import type { Model } from './model.ts'
import type { Call } from '../core/tape.ts'
import type { Tensor } from '../core/tensor.ts'
import { trace } from '../core/transform.ts'
import { describedParameters, nameOf } from '../core/tree.ts'
import { packedWeights } from './weight.ts'

/** What one layer costs for one image. A layer is whatever owns weights: `blocks.3.mlp.fc1`, `blocks.3.attention`. */
export interface LayerCost {
  name: string
  params: number
  /**
   * Multiply-adds of its products and convolutions; norms, activations and softmax are not counted, as published counts
   * leave them out.
   */
  macs: number
  /** Those of them that are done: products by packed weights leave out what is not stored. */
  keptMacs: number
  /**
   * Shape of what leaves it, for a batch of one: the result of the last op that reads a weight of it or of a layer
   * within it. What reads none (relu, pool, a shortcut) may belong to any layer, and says nothing of this one.
   */
  output: readonly number[]
}

/** The cost of a model. */
export interface Cost {
  params: number
  macs: number
  keptMacs: number
  layers: LayerCost[]
}

/**
 * Parameters and multiply-adds of a model for one image of [channels, height, width], by layer in the order of the
 * forward pass. Products without a weight (attention) belong to the layer of the weight that was read last. Needs no
 * device.
 * @throws InputError if the image does not fit the model.
 */
export function costOf(model: Model, [channels, height, width]: readonly [number, number, number]): Cost {
  const calls = traced(model, [1, channels, height, width])
  const parameters = describedParameters(model).filter(([, , { role }]) => role !== 'mask')
  const paths = new Map(parameters.map(([path, leaf, traits]) => [leaf, nameOf(path, traits)]))
  const packed = new Map(packedWeights(model).map(([path, { kept }]) => [path, kept]))
  const layers = new Map<string, Omit<LayerCost, 'name'>>()
  const at = (name: string) => {
    if (!layers.has(name)) layers.set(name, { params: 0, macs: 0, keptMacs: 0, output: [] })
    return layers.get(name)!
  }
  let current = at('input')
  for (const call of calls) {
    const read = call.args.find((arg): arg is Tensor => arg !== null && paths.has(arg))
    if (read) {
      const owner = ownerOf(paths.get(read)!)
      current = at(owner)
      for (const [name, layer] of layers) if (`${owner}.`.startsWith(`${name}.`)) layer.output = call.out.shape
    }
    const macs = macsOf(call)
    current.macs += macs
    current.keptMacs += Math.min(macs, call.op.flops(call.args, call.out, call.attrs) / 2)
  }
  for (const [, leaf] of parameters) {
    const name = paths.get(leaf)!
    at(ownerOf(name)).params += packed.get(name) ?? leaf.size
  }
  const list = [...layers].map(([name, cost]) => ({ name, ...cost })).filter(({ params, macs }) => params || macs)
  const total = (key: 'params' | 'macs' | 'keptMacs') => list.reduce((sum, layer) => sum + layer[key], 0)
  return { params: total('params'), macs: total('macs'), keptMacs: total('keptMacs'), layers: list }
}

/** Multiply-adds of one call. */
export function macsOf({ op, args, out, attrs }: Call): number {
  return op.macs(args, out, attrs)
}

function traced(model: Model, shape: readonly number[]): Call[] {
  try {
    return trace((input) => withAnyClass(model, shape[0], () => model.call(input(shape)))).calls
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error
    const image = shape.slice(1).join(' x ')
    throw new InputError(
      `images of ${image} do not fit the model (${error.message}); check image size, --resize, --crop and --arch`,
      { cause: error },
    )
  }
}

/** `blocks.3.attention.query` belongs to `blocks.3.attention`; a tensor of the model itself is a layer of its own. */
function ownerOf(path: string): string {
  const cut = path.lastIndexOf('.')
  return cut < 0 ? path : path.slice(0, cut)
}

// A foreign graph as steps of ours, under construction. Every size is known twice, for two and for three images, so
// that those which grow with the batch show; values of either kind carry both.
import { InputError, ShapeError } from '../../base/errors.ts'
import { sizeOf } from '../../base/shape.ts'
import { empty, type Tensor, withoutDevice } from '../../core/tensor.ts'
import type { DecodedNode } from '../../onnx/decode.ts'
import type { GraphStep } from '../../../models/graph.ts'
import { runStep } from '../../../models/graph-steps.ts'
import type { HostTensor } from '../weights.ts'
import type { Constant } from './fold.ts'

/** What is known when the file is read. */
export interface Known {
  kind: 'known'
  pair: readonly [Constant, Constant]
  /** The tensor of the file that it is, turned or not. */
  origin?: string
}

/** What a step makes (`at`: its number, 0 the images), with its shape for either batch. */
export interface Made {
  kind: 'made'
  at: number
  pair: readonly [Tensor, Tensor]
}

/** A value of the graph. */
export type Value = Known | Made

/** More elements than a value of one image has. */
const MOST = 2 ** 28

/** Whether a constant is the same for every batch. */
export const isFixed = ({ pair: [a, b] }: Known): boolean =>
  a === b
  || (a.shape.join() === b.shape.join() && Array.from(a.values).every((value, i) => Object.is(value, b.values[i])))

/** Collects steps and layers. */
export class Translator {
  readonly steps: GraphStep[] = []
  readonly layers: Record<string, Record<string, HostTensor>> = {}
  /** How often each step is read. */
  readonly reads = new Map<number, number>()
  readonly batches: readonly [number, number]
  /** What each step makes, by its number. */
  readonly shapes = new Map<number, Made>()
  /** The node that is read now. */
  node!: DecodedNode
  private readonly names = new Set<string>()

  /** Steps whose value goes by several names. */
  readonly shared = new Set<number>()
  private readonly readers: ReadonlyMap<string, number>

  private left: number

  /** `readers`: how many nodes read each value of the file; `stored`: how many numbers the file holds. */
  constructor(batches: readonly [number, number], readers: ReadonlyMap<string, number>, stored: number) {
    this.batches = batches
    this.readers = readers
    this.left = 8 * stored + 2 ** 26
  }

  /** Counts numbers that are computed when the file is read. @throws InputError where they are out of proportion. */
  spend(count: number): void {
    this.left -= count
    if (this.left < 0) {
      throw new InputError('its constants expand to far more numbers than the file holds; it is damaged')
    }
  }

  /** The tensors of the layer that makes a value, where one node alone reads it: they may take in what it does. */
  layerOf({ at }: Made, name: string): Record<string, HostTensor> | null {
    const step = at ? this.steps[at - 1] : null
    if (!step || !['conv2d', 'linear'].includes(step.kind)) return null
    return this.readers.get(name) === 1 && !this.shared.has(at) ? this.layers[step.layer!] : null
  }

  /** Adds a step, and works out its shapes. */
  step(
    kind: string,
    from: readonly Made[],
    attributes: Readonly<Record<string, unknown>> = {},
    layer?: { name: string, tensors: Readonly<Record<string, HostTensor>> },
  ): Made {
    const step: GraphStep = { kind, from: from.map(({ at }) => at), ...attributes, ...layer && { layer: layer.name } }
    if (layer) this.layers[layer.name] = { ...layer.tensors }
    const pair = this.batches.map((batch, i) => this.shaped(step, from.map(({ pair }) => pair[i]), batch))
    for (const { at } of from) this.reads.set(at, (this.reads.get(at) ?? 0) + 1)
    this.steps.push(step)
    const value: Made = { kind: 'made', at: this.steps.length, pair: [pair[0], pair[1]] }
    this.shapes.set(value.at, value)
    return value
  }

  private shaped(step: GraphStep, args: readonly Tensor[], batch: number): Tensor {
    const tensors = step.layer === undefined ? {} : this.layers[step.layer]
    const out = withoutDevice(() => {
      const layer = Object.fromEntries(Object.entries(tensors).map(([field, { shape }]) => [field, empty(shape)]))
      return runStep(step, args, layer, batch)
    })
    if (sizeOf(out.shape) > MOST * batch) {
      throw new ShapeError(`it makes [${out.shape}], expected at most 2^28 elements an image`)
    }
    return out
  }

  /** A name for a layer: that of its weight in the file where it has one, else that of its node; dots are slashes. */
  layerName(weight: string, otherwise: string): string {
    const stem = /^([A-Za-z_][\w.]*)\.(weight|gain|kernel|gamma)$/.exec(weight)?.[1]
      ?? (/^[A-Za-z_]\w*$/.test(weight) ? weight : (this.node.name ?? '').replace(/\/[^/]*$/, ''))
    const plain = stem.replace(/[^\w]+/g, '/').replace(/^\/+|\/+$/g, '').slice(0, 120) || otherwise
    let name = plain
    for (let number = 2; this.names.has(name); number++) name = `${plain}_${number}`
    this.names.add(name)
    return name
  }

  /** A constant as a tensor of the network, repeated along the batch where it is so long. */
  parameter(value: Known, name: string): Made {
    const [a] = value.pair
    if (isFixed(value)) return this.step('parameter', [], {}, this.holder(name, a.shape, a.values))
    const sizes = this.sizes(value.pair.map(({ shape }) => shape) as [number[], number[]])
    const grown = sizes.findIndex((n) => typeof n === 'number' && n < 0)
    const differs = 'a constant that differs from image to image; export the network for one image'
    if (grown < 0) throw new InputError(differs)
    // So many entries for each image: those of the first, unless another's differ.
    const each = -Number(sizes[grown]), own = a.shape.with(grown, each)
    const inner = sizeOf(a.shape.slice(grown + 1)), block = each * inner
    const place = (i: number, length: number) => Math.floor(i / (length * inner)) * block + i % (length * inner) % block
    const first = new Float32Array(sizeOf(own))
    for (let i = 0; i < a.values.length; i++) first[place(i, a.shape[grown])] = a.values[i]
    for (const { shape, values } of value.pair) {
      for (let i = 0; i < values.length; i++) {
        if (values[i] !== first[place(i, shape[grown])]) {
          throw new InputError(differs)
        }
      }
    }
    const parameter = (shape: readonly number[]) => this.step('parameter', [], {}, this.holder(name, shape, first))
    if (each === 1) return this.step('spread', [parameter(own)], { sizes: own.map((_, i) => i === grown ? -1 : 1) })
    // A block of entries repeated: the batch gets an axis of its own first.
    const apart = [...own.slice(0, grown), 1, ...own.slice(grown)]
    const spread = this.step('spread', [parameter(apart)], { sizes: apart.map((_, i) => i === grown ? -1 : 1) })
    return this.step('reshape', [spread], { sizes })
  }

  private holder(name: string, shape: readonly number[], values: ArrayLike<number>) {
    return { name: this.layerName(name, 'constant'), tensors: { value: host(shape, values) } }
  }

  /** Sizes of a shape for either batch as our steps write them: a number, or -k for k times the images. */
  sizes([a, b]: readonly [readonly number[], readonly number[]]): (number | string)[] {
    const [n, m] = this.batches
    return a.map((size, axis) => {
      if (size === b[axis]) return size
      if (size % n === 0 && size / n === b[axis] / m) return -size / n
      throw new InputError(
        `sizes [${a}] for ${n} images and [${b}] for ${m}, expected multiples; export it for one image`,
      )
    })
  }
}

/** Values for a tensor of the model. */
export const host = (shape: readonly number[], values: ArrayLike<number>): HostTensor => ({
  shape: [...shape],
  data: values instanceof Float32Array ? values : Float32Array.from(values),
})

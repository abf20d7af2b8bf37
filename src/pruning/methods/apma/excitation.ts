// The other reweight module: squeeze and excitation (Hu et al., CVPR 2018). A factor for each channel of attention,
// made of what the image gives in all channels; 1 at first. It depends on the image, so it cannot be folded into a
// weight: it is there while the search learns, and is then replaced by its mean over images, which can.
//   B images, H heads, D channels of a head, R = H D / 4
import { fillNormal } from '../../../base/random.ts'
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { disposeTree } from '../../../core/tree.ts'
import type { Dataset } from '../../../data/datasets.ts'
import type { MaskOf } from '../../../nn/gate.ts'
import { mul, relu, scale, sigmoid } from '../../../ops/elementwise.ts'
import { linear } from '../../../ops/matmul/linear.ts'
import { mean } from '../../../ops/reduce.ts'
import { reshape } from '../../../ops/reshape.ts'
import type { Unit } from '../../units/units.ts'

/** Weights of a module: [R, H, D] with [R], and [H, D, R] with [H, D]. */
export interface Excitation {
  reduce: Tensor
  reduceBias: Tensor
  expand: Tensor
  expandBias: Tensor
}

const reduced = (size: number) => Math.max(1, Math.round(size / 4))

/** How many numbers a module of so many channels learns. */
export const excitationSize = (size: number): number => 2 * size * reduced(size) + size + reduced(size)

/** 2 sigmoid(W2 relu(W1 squeezed)): the factors [B, H, D] of squeezed channels [B, H, D]. */
export function excite(squeezed: Tensor, { reduce, reduceBias, expand, expandBias }: Excitation): Tensor {
  const hidden = relu(linear(squeezed, reduce, reduceBias, { over: 2 }))
  return scale(sigmoid(linear(hidden, expand, expandBias)), { by: 2 })
}

/** A module for each of some units of value channels. */
export class Excitations {
  /** By unit; all of them learn. */
  readonly weights: ReadonlyMap<string, Excitation>
  private readonly gates: ReadonlyMap<string, string>
  /** While it is not null, the factors of each call are kept here. */
  private seen: Map<string, Tensor> | null = null

  constructor(units: readonly Unit[], names: readonly string[], seed: number) {
    // Elsewhere the channels of the gate are not those of the projection that takes the factors.
    const own = units.filter(({ name, gates: [gate, ...more], shape: [, dim] }) =>
      names.includes(name) && !more.length && gate.element.length === dim && gate.element.every((each, i) => each === i)
    )
    this.gates = new Map(own.map(({ name, gates: [{ path }] }) => [name, path]))
    this.weights = new Map(own.map(({ name, size, shape: [heads, dim] }) => {
      const rows = reduced(size), first = new Float32Array(rows * size)
      fillNormal(first, seed, `excitation ${name}`, Math.sqrt(2 / size))
      return [name, {
        reduce: tensor(first, [rows, heads, dim]),
        reduceBias: tensor(new Float32Array(rows)),
        expand: tensor(new Float32Array(size * rows), [heads, dim, rows]),
        expandBias: tensor(new Float32Array(size), [heads, dim]),
      }]
    }))
  }

  /** Masks of gates by path: those of the units, [H, D], times the factors of each of `images` images. */
  at(masks: ReadonlyMap<string, Tensor>, images: number): Map<string, MaskOf> {
    return new Map([...this.weights].map(([name, weights]): [string, MaskOf] => [
      this.gates.get(name)!,
      (x) => {
        // Of a Swin all windows of an image, which come one after the other.
        const [heads, dim] = x.shape.slice(-2), mask = masks.get(name)!
        const squeezed = mean(reshape(x, { shape: [images, -1, heads, dim] }), { axes: [1] })
        const factors = excite(mul(squeezed, mask), weights)
        this.seen?.set(name, factors)
        return mul(factors, mask)
      },
    ]))
  }

  /**
   * The mean factors over images, [H, D] by unit, and how far factors of single images are from them. `forward` runs
   * the network under its masks.
   */
  async means(
    images: Dataset,
    batch: number,
    forward: (images: Tensor) => Tensor,
  ): Promise<{ factors: Map<string, Tensor>, note: string | null }> {
    const sums = new Map([...this.weights].map(([name, { expandBias: { size } }]) => [
      name,
      { once: new Float64Array(size), twice: new Float64Array(size) },
    ]))
    let count = 0
    for await (const part of images.batches({ size: Math.min(batch, 16) })) {
      const found = scope(() => {
        const seen = this.seen = new Map<string, Tensor>()
        forward(tensor(part.images, part.shape))
        this.seen = null
        return seen
      })
      for (const [name, factors] of found) {
        const { once, twice } = sums.get(name)!
        ;(await factors.data()).forEach((value, i) => {
          once[i % once.length] += value
          twice[i % once.length] += value ** 2
        })
      }
      disposeTree(found)
      count += part.shape[0]
    }
    const factors = new Map([...this.weights].map(([name, { expandBias: { shape } }]) => [
      name,
      tensor(Float32Array.from(sums.get(name)!.once, (sum) => sum / count), shape),
    ]))
    const all = [...sums.values()].flatMap(({ once, twice }) =>
      Array.from(once, (sum, i) => Math.sqrt(Math.max(0, twice[i] / count - (sum / count) ** 2)) / (sum / count))
    )
    const spread = 100 * all.reduce((sum, each) => sum + each, 0) / all.length
    const note = `squeeze-excitation was replaced by its mean factors over ${count} images; those of single images are `
      + `${spread.toFixed(1)} % (standard deviation) from them`
    return { factors, note: all.length ? note : null }
  }

  /** Frees all weights. */
  dispose(): void {
    disposeTree([...this.weights.values()])
  }
}

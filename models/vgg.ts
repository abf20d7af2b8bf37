// VGG (Simonyan & Zisserman 2015), with and without batch norm, and small relatives such as Tiny VGG of CNN Explainer.
//   B images, C channels
import { type Tensor, zeros } from '../src/core/index.ts'
import { adaptiveAvgPool, dropout, maxPool, relu } from '../src/ops/index.ts'
import { applied, BatchNorm, type Context, Conv2d, convolvedNormed, Gate } from '../src/nn/index.ts'

/** Channels of each convolution in order; 'pool' halves the map. */
export type VGGLayers = readonly (number | 'pool')[]

/** Sizes of a VGG-like network. */
export interface VGGOptions {
  plan?: VGGLayers
  channels?: number
  classes?: number
  batchNorm?: boolean
  /** Padding of the 3 x 3 convolutions: 1, or 0 for Tiny VGG. */
  padding?: number
  /** Side of the map that the classifier reads. */
  side?: number
  /** Whether the map is averaged to `side` (VGG), or has that size already (Tiny VGG). */
  adaptive?: boolean
  /** Widths of the classifier's hidden layers. */
  hidden?: readonly number[]
  /** Dropout of the classifier's hidden layers in training. */
  dropout?: number
}

/** One convolution, its batch norm if it has one, relu, and its channels' gate. */
export class ConvLayer {
  conv: Conv2d
  norm: BatchNorm | null
  gate = new Gate([-3])

  constructor(inputs: number, outputs: number, padding: number, batchNorm: boolean) {
    this.conv = new Conv2d(inputs, outputs, 3, { padding })
    this.norm = batchNorm ? new BatchNorm(outputs) : null
  }

  call(x: Tensor, context: Context): Tensor {
    return this.gate.call(convolvedNormed(this.conv, this.norm, x, context, { relu: true }))
  }
}

/** A classifier layer. The first contracts over [channel, y, x], so that a channel is one axis of its weight. */
export class Dense {
  weight: Tensor
  bias: Tensor

  constructor(inputs: readonly number[], outputs: number) {
    this.weight = zeros([outputs, ...inputs], true)
    this.bias = zeros([outputs], true)
  }

  call(x: Tensor): Tensor {
    return applied(x, this.weight, this.bias, { over: this.weight.shape.length - 1 })
  }
}

/** The whole network. */
export class VGG {
  static readonly leaves = { classifier: { role: 'classifier' } } as const
  layers: (ConvLayer | 'pool')[]
  classifier: Dense[]
  hidden: Gate[]
  readonly side: number | null
  readonly dropout: number

  constructor(
    {
      plan = plans.vgg11,
      channels = 3,
      classes = 1000,
      batchNorm = false,
      padding = 1,
      side = 7,
      adaptive = true,
      hidden = [4096, 4096],
      dropout = 0.5,
    }: VGGOptions = {},
  ) {
    let inputs = channels
    this.layers = plan.map((step) => {
      if (step === 'pool') return step
      const layer = new ConvLayer(inputs, step, padding, batchNorm)
      inputs = step
      return layer
    })
    const widths: number[][] = [[inputs, side, side], ...hidden.map((width) => [width])]
    this.classifier = widths.map((width, i) => new Dense(width, hidden[i] ?? classes))
    this.hidden = hidden.map(() => new Gate([-1]))
    this.side = adaptive ? side : null
    this.dropout = dropout
  }

  /** image [B, channels, y, x] -> logits [B, classes]. */
  call(image: Tensor, context: Context = {}): Tensor {
    let x = image
    for (const layer of this.layers) x = layer === 'pool' ? maxPool(x, { size: 2 }) : layer.call(x, context)
    if (this.side) x = adaptiveAvgPool(x, { out: [this.side, this.side] })
    this.classifier.forEach((layer, i) => {
      x = layer.call(x)
      if (i === this.hidden.length) return
      x = this.hidden[i].call(relu(x))
      if (context.training && this.dropout) x = dropout(x, context.random!, { rate: this.dropout })
    })
    return x
  }
}

const wide = (...counts: [number, number, number, number, number]): VGGLayers =>
  counts.flatMap((count, i) => [...Array.from({ length: count }, () => Math.min(512, 64 * 2 ** i)), 'pool' as const])

/** Layer plans of the published depths. */
export const plans = {
  vgg11: wide(1, 1, 2, 2, 2),
  vgg13: wide(2, 2, 2, 2, 2),
  vgg16: wide(2, 2, 3, 3, 3),
  vgg19: wide(2, 2, 4, 4, 4),
}

/** VGG-11. */
export const vgg11 = (options: VGGOptions = {}): VGG => new VGG({ plan: plans.vgg11, ...options })
/** VGG-13. */
export const vgg13 = (options: VGGOptions = {}): VGG => new VGG({ plan: plans.vgg13, ...options })
/** VGG-16. */
export const vgg16 = (options: VGGOptions = {}): VGG => new VGG({ plan: plans.vgg16, ...options })
/** VGG-19. */
export const vgg19 = (options: VGGOptions = {}): VGG => new VGG({ plan: plans.vgg19, ...options })
/** Tiny VGG of CNN Explainer: 64 x 64 images, ten channels, no padding. */
export const tinyVGG = (options: VGGOptions = {}): VGG =>
  new VGG({
    plan: [10, 10, 'pool', 10, 10, 'pool'],
    classes: 10,
    padding: 0,
    side: 13,
    adaptive: false,
    hidden: [],
    ...options,
  })

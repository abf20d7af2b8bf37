// Residual networks (He et al. 2016): ImageNet's with projection shortcuts, and CIFAR's with option-A shortcuts
// (every second pixel, zero channels on both sides: no parameters).
//   B images, C channels
import type { Tensor } from '../src/core/index.ts'
import { maxPool, mean, slice } from '../src/ops/index.ts'
import { type AfterNorm, BatchNorm, completed, type Context, Conv2d, convolvedNormed, Gate, gated,
  Linear } from '../src/nn/index.ts'

/** Convolution without bias and its batch norm. */
export class ConvNorm {
  conv: Conv2d
  norm: BatchNorm

  constructor(inputs: number, outputs: number, size: number, { stride = 1, padding = 0 } = {}) {
    this.conv = new Conv2d(inputs, outputs, size, { stride, padding, bias: false })
    this.norm = new BatchNorm(outputs)
  }

  /** x [B, C, y, x] -> [B, C', y', x']; a residual and relu where asked for. */
  call(x: Tensor, context: Context, after: AfterNorm = {}): Tensor {
    return convolvedNormed(this.conv, this.norm, x, context, after)
  }
}

/** A layer and what comes after it; one of another kind does not know that. */
function through(layer: ConvNorm, x: Tensor, context: Context, after: AfterNorm): Tensor {
  return layer.call === ConvNorm.prototype.call
    ? layer.call(x, context, after)
    : completed(layer.call(x, context), after)
}

/**
 * A residual block. The inner convolutions' channels are prunable each; the last one and the projection end in
 * branch-local gates, so that their filters can go while the residual stays wide; `stream` gates the residual width
 * itself.
 */
export class ResidualBlock {
  layers: ConvNorm[]
  inner: Gate[]
  closing = new Gate([-3], { branchLocal: true })
  shortcut: ConvNorm | null
  shortcutGate: Gate | null
  stream = new Gate([-3], { kind: 'residual' })
  readonly stride: number

  constructor(inputs: number, widths: number[], sizes: number[], { stride = 1, strided = 0, projection = true } = {}) {
    const outputs = widths.at(-1)!
    const chain = [inputs, ...widths]
    this.layers = widths.map((width, i) =>
      new ConvNorm(chain[i], width, sizes[i], { stride: i === strided ? stride : 1, padding: sizes[i] >> 1 })
    )
    this.inner = widths.slice(1).map(() => new Gate([-3]))
    const changes = stride !== 1 || inputs !== outputs
    this.shortcut = projection && changes ? new ConvNorm(inputs, outputs, 1, { stride }) : null
    // Option A: the inputs' channels in the middle of the outputs', zeros on both sides.
    const before = (outputs - inputs) >> 1
    this.shortcutGate = this.shortcut
      ? new Gate([-3], { branchLocal: true })
      : inputs === outputs
      ? null
      : new Gate([-3], { scatter: { positions: Array.from({ length: inputs }, (_, i) => before + i), width: outputs } })
    this.stride = stride
  }

  /** x [B, C, y, x] -> [B, C', y / stride, x / stride]. */
  call(x: Tensor, context: Context): Tensor {
    let y = x
    this.inner.forEach((gate, i) => {
      y = gate.call(through(this.layers[i], y, context, { relu: true }))
    })
    const last = this.layers[this.inner.length]
    // Where nothing stands between the last convolution and the sum, one pass does both.
    if (this.closing.idle) {
      return this.stream.call(through(last, y, context, { residual: this.shorten(x, context), relu: true }))
    }
    const residual = this.shorten(x, context)
    return this.stream.call(gated(this.closing, last.call(y, context), { residual, relu: true }))
  }

  private shorten(x: Tensor, context: Context): Tensor {
    if (this.shortcut) return this.shortcutGate!.call(this.shortcut.call(x, context))
    const { stride } = this
    const thin = stride === 1
      ? x
      : slice(x, { starts: [0, 0, 0, 0], stops: [...x.shape], steps: [1, 1, stride, stride] })
    return this.shortcutGate ? this.shortcutGate.call(thin) : thin
  }
}

/** Sizes of a ResNet. */
export interface ResNetOptions {
  /** Blocks of each stage. */
  layers?: number[]
  /** Channels of the stem. */
  width?: number
  classes?: number
  channels?: number
  block?: 'basic' | 'bottleneck'
  /** `imagenet`: 7 x 7 stem of stride 2 and a pool; `cifar`: 3 x 3 stem, three stages, option-A shortcuts. */
  stem?: 'imagenet' | 'cifar'
}

/** The whole network. */
export class ResNet {
  static readonly leaves = { head: { role: 'classifier' } } as const
  stem: ConvNorm
  /** Ends the stem's channels where the first block adds them to its own; `stream` then gates the residual width. */
  stemGate: Gate
  stream: Gate | null
  stages: ResidualBlock[][]
  head: Linear
  readonly pooled: boolean

  constructor(
    { layers = [2, 2, 2, 2], width = 64, classes = 1000, channels = 3, block = 'basic', stem = 'imagenet' }:
      ResNetOptions = {},
  ) {
    const imagenet = stem === 'imagenet'
    this.pooled = imagenet
    this.stem = imagenet
      ? new ConvNorm(channels, width, 7, { stride: 2, padding: 3 })
      : new ConvNorm(channels, width, 3, { padding: 1 })
    let inputs = width
    this.stages = layers.map((depth, stage) =>
      Array.from({ length: depth }, (_, i) => {
        const base = width * 2 ** stage
        const stride = stage > 0 && i === 0 ? 2 : 1
        const made = block === 'basic'
          ? new ResidualBlock(inputs, [base, base], [3, 3], { stride, projection: imagenet })
          : new ResidualBlock(inputs, [base, base, 4 * base], [1, 3, 1], { stride, strided: 1, projection: imagenet })
        inputs = block === 'basic' ? base : 4 * base
        return made
      })
    )
    const residual = this.stages[0][0].shortcut === null
    this.stemGate = new Gate([-3], { branchLocal: residual })
    this.stream = residual ? new Gate([-3], { kind: 'residual' }) : null
    this.head = new Linear(inputs, classes)
  }

  /** image [B, channels, y, x] -> logits [B, classes]. */
  call(image: Tensor, context: Context = {}): Tensor {
    let x = this.stemGate.call(through(this.stem, image, context, { relu: true }))
    if (this.stream) x = this.stream.call(x)
    if (this.pooled) x = maxPool(x, { size: 3, stride: 2, padding: 1 })
    for (const block of this.stages.flat()) x = block.call(x, context)
    return this.head.call(mean(x, { axes: [2, 3] }))
  }
}

/** CIFAR ResNet of depth 6n + 2 (20, 32, 44, 56): three stages of n blocks, widths 16, 32, 64. */
export function cifarResNet(depth: number, options: ResNetOptions = {}): ResNet {
  const n = (depth - 2) / 6
  return new ResNet({ layers: [n, n, n], width: 16, classes: 10, stem: 'cifar', ...options })
}

/** ImageNet ResNet-18. */
export const resnet18 = (options: ResNetOptions = {}): ResNet => new ResNet({ layers: [2, 2, 2, 2], ...options })
/** ImageNet ResNet-34. */
export const resnet34 = (options: ResNetOptions = {}): ResNet => new ResNet({ layers: [3, 4, 6, 3], ...options })
/** ImageNet ResNet-50. */
export const resnet50 = (options: ResNetOptions = {}): ResNet =>
  new ResNet({ layers: [3, 4, 6, 3], block: 'bottleneck', ...options })
/** ImageNet ResNet-101. */
export const resnet101 = (options: ResNetOptions = {}): ResNet =>
  new ResNet({ layers: [3, 4, 23, 3], block: 'bottleneck', ...options })

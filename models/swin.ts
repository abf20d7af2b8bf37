// Swin Transformer (Liu et al. 2021), and with focused linear attention in some stages FLatten-Swin (Han et al. 2023).
//   B images, Y and X the map, C channels
import { type Tensor, tensor, zeros } from '../src/core/index.ts'
import { add, dropPath, mean, pad, permute, reshape, roll, slice } from '../src/ops/index.ts'
import { applied, type Context, FocusedAttention, fromWindows, Gate, LayerNorm, Linear, Mlp, Patches, shiftMask,
  toWindows, WindowAttention } from '../src/nn/index.ts'

/** Sizes of a Swin; the defaults are Swin-T on 224 x 224. */
export interface SwinOptions {
  image?: number
  patch?: number
  channels?: number
  /** Channels of the first stage; each later stage has twice as many. */
  width?: number
  depths?: readonly number[]
  heads?: readonly number[]
  /** Side of the windows of each stage, or of all. */
  windows?: number | readonly number[]
  /** Attention of each stage: S softmax in windows, L focused linear. */
  kinds?: string
  ratio?: number
  classes?: number
  eps?: number
  dropPath?: number
  /** A window larger than the map: `shrink` it to the map (Microsoft's code), or `pad` the map (torchvision). */
  fit?: 'shrink' | 'pad'
}

const up = (size: number, window: number) => Math.ceil(size / window) * window

/**
 * One block on a map of `side` x `side`: attention in windows, shifted or not, and a perceptron, each beside a
 * residual.
 */
export class SwinBlock {
  static readonly leaves = { mask: { trained: false, saved: false } } as const
  norm1: LayerNorm
  attention: WindowAttention | FocusedAttention
  norm2: LayerNorm
  mlp: Mlp
  mask: Tensor | null
  readonly side: number
  readonly window: number
  readonly shift: number
  readonly dropPath: number

  constructor(
    width: number,
    heads: number,
    side: number,
    options: { window: number, shift: number, kind: string, hidden: number, eps: number, dropPath: number },
  ) {
    const { window, shift, kind, hidden, eps, dropPath } = options
    this.norm1 = new LayerNorm(width, { eps })
    this.attention = kind === 'L'
      ? new FocusedAttention(width, heads, window, { windowed: true })
      : new WindowAttention(width, heads, window)
    this.norm2 = new LayerNorm(width, { eps })
    this.mlp = new Mlp(width, hidden)
    this.side = side
    this.window = window
    const padded = up(side, window)
    this.shift = padded > window ? shift : 0 // one window covers all: nothing to shift
    const windows = (padded / window) ** 2
    this.mask = this.shift && kind === 'S'
      ? tensor(shiftMask(padded, padded, window, [this.shift, this.shift]), [windows, window ** 2, window ** 2])
      : null
    this.dropPath = dropPath
  }

  /** x [B, side, side, C] -> the same shape. */
  call(x: Tensor, context: Context = {}): Tensor {
    const drop = (branch: Tensor) =>
      context.training && this.dropPath ? dropPath(branch, context.random!, { rate: this.dropPath }) : branch
    const y = add(x, drop(this.attend(this.norm1.call(x))))
    return add(y, drop(this.mlp.call(this.norm2.call(y))))
  }

  private attend(x: Tensor): Tensor {
    const [batch, height, width, channels] = x.shape
    const { window, shift } = this
    const padded = up(height, window)
    const extra = padded - height
    let y = extra ? pad(x, { before: [0, 0, 0, 0], after: [0, extra, extra, 0] }) : x
    if (shift) y = roll(y, { shifts: [-shift, -shift], axes: [1, 2] })
    y = fromWindows(this.attention.call(toWindows(y, window), this.mask), window, padded, padded)
    if (shift) y = roll(y, { shifts: [shift, shift], axes: [1, 2] })
    return extra ? slice(y, { starts: [0, 0, 0, 0], stops: [batch, height, width, channels] }) : y
  }
}

/**
 * Four neighbours become one token of twice the channels: layer norm and linear over [2, 2, C], columns before rows.
 */
export class PatchMerging {
  norm: LayerNorm
  weight: Tensor

  constructor(width: number, eps: number) {
    this.norm = new LayerNorm([2, 2, width], { eps })
    this.weight = zeros([2 * width, 2, 2, width], true)
  }

  /** x [B, Y, X, C] -> [B, Y / 2, X / 2, 2 C]; an odd map is padded with zeros. */
  call(x: Tensor): Tensor {
    const odd = [0, x.shape[1] % 2, x.shape[2] % 2, 0]
    const even = odd[1] || odd[2] ? pad(x, { before: [0, 0, 0, 0], after: odd }) : x
    const [batch, height, width, channels] = even.shape
    const split = reshape(even, { shape: [batch, height / 2, 2, width / 2, 2, channels] })
    return applied(this.norm.call(permute(split, { order: [0, 1, 3, 4, 2, 5] })), this.weight, null, { over: 3 })
  }
}

/** Blocks of one resolution; `stream` gates the residual width they share. */
export class SwinStage {
  stream = new Gate([-1], { kind: 'residual' })
  blocks: SwinBlock[]
  merging: PatchMerging | null

  constructor(blocks: SwinBlock[], merging: PatchMerging | null) {
    this.blocks = blocks
    this.merging = merging
  }
}

/** The whole network. */
export class Swin {
  static readonly leaves = { head: { role: 'classifier' } } as const
  patches: Patches
  patchNorm: LayerNorm
  stages: SwinStage[]
  norm: LayerNorm
  head: Linear

  constructor(options: SwinOptions = {}) {
    const {
      image = 224,
      patch = 4,
      channels = 3,
      width = 96,
      depths = [2, 2, 6, 2],
      heads = [3, 6, 12, 24],
      windows = 7,
      kinds = 'S'.repeat(depths.length),
      ratio = 4,
      classes = 1000,
      eps = 1e-5,
      dropPath = 0,
      fit = 'shrink',
    } = options
    this.patches = new Patches(channels, width, patch)
    this.patchNorm = new LayerNorm(width, { eps })
    const total = depths.reduce((sum, depth) => sum + depth, 0)
    let side = Math.floor(image / patch), number = 0
    this.stages = depths.map((depth, stage) => {
      const channels = width * 2 ** stage
      const asked = typeof windows === 'number' ? windows : windows[stage]
      const window = fit === 'shrink' ? Math.min(asked, side) : asked
      const blocks = Array.from({ length: depth }, (_, i) =>
        new SwinBlock(channels, heads[stage], side, {
          window,
          shift: i % 2 ? window >> 1 : 0,
          kind: kinds[stage],
          hidden: Math.floor(channels * ratio),
          eps,
          dropPath: total > 1 ? dropPath * number++ / (total - 1) : dropPath,
        }))
      side = Math.ceil(side / 2)
      return new SwinStage(blocks, stage < depths.length - 1 ? new PatchMerging(channels, eps) : null)
    })
    const last = width * 2 ** (depths.length - 1)
    this.norm = new LayerNorm(last, { eps })
    this.head = new Linear(last, classes)
  }

  /** image [B, channels, y, x] -> logits [B, classes]. */
  call(image: Tensor, context: Context = {}): Tensor {
    const tokens = this.patchNorm.call(this.patches.call(image))
    const [batch, count, width] = tokens.shape
    const { side } = this.stages[0].blocks[0]
    let x = reshape(tokens, { shape: [batch, side, count / side, width] })
    for (const stage of this.stages) {
      x = stage.stream.call(x)
      for (const block of stage.blocks) x = block.call(x, context)
      if (stage.merging) x = stage.merging.call(x)
    }
    return this.head.call(mean(this.norm.call(x), { axes: [1, 2] }))
  }
}

/** Swin-T. */
export const swinTiny = (options: SwinOptions = {}): Swin => new Swin(options)
/** Swin-S. */
export const swinSmall = (options: SwinOptions = {}): Swin => new Swin({ depths: [2, 2, 18, 2], ...options })
/** Swin-B. */
export const swinBase = (options: SwinOptions = {}): Swin =>
  new Swin({ width: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32], ...options })

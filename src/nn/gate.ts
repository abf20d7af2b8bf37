// The one place that says "this axis may shrink": where a mask multiplies, where relevance and activations are read,
// and what gives a prunable unit its name (the gate's path in the model, `blocks.3.attention.heads`).
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { ShapeError } from '../base/errors.ts'
import { assume, currentCapture } from '../core/assume.ts'
import { gate } from '../ops/gate.ts'
import { scatter, type ScatterAttributes } from '../ops/scatter.ts'
import { activeTape } from '../core/tape.ts'
import { type Tensor, tensor } from '../core/tensor.ts'

const gateKeys: OptionKeys<GateOptions> = {
  kind: true,
  readAt: true,
  step: true,
  branchLocal: true,
  scatter: true,
  windowed: true,
}

/** Where the slices of a narrow axis go in a wider one. */
export interface Scatter {
  positions: readonly number[]
  width: number
}

/** What the elements of a gate can be; `residual` is the width of a residual stream. */
export const gateKinds = ['heads', 'query-key', 'values', 'neurons', 'filters', 'residual'] as const

/** One of `gateKinds`, or a kind of the user's own. */
export type GateKind = typeof gateKinds[number] | (string & Record<never, never>)

/** How a gate behaves beside multiplying. */
export interface GateOptions {
  /**
   * What its elements are, for `--units` and tables. Default by its axes: [-3] `filters`, [-2] `heads`, two axes
   * `query-key`, else `neurons`.
   */
  kind?: GateKind
  /**
   * Where relevance of its elements is read: at the gate itself, or at the softmax of the attention whose output it
   * stands on, where the caller reads that (default for heads).
   */
  readAt?: 'gate' | 'softmax'
  /** A cut leaves a multiple of this; default 1 for heads, else null: what the caller of `rank` wants. */
  step?: number | null
  /** Stands before a residual sum and ends its axis there: once sliced, the kept indices scatter back to full width. */
  branchLocal?: boolean
  /** Scatters from the start: the zero channels of an option-A shortcut. */
  scatter?: Scatter
  /** The batch axis holds several entries of each image, one image after the other: the windows of a Swin. */
  windowed?: boolean
}

/**
 * A mask over some axes of an activation. `axes` are negative, counted from the last: `new Gate([-1])` for hidden
 * neurons, `new Gate([-2])` for the heads of [batch, token, head, dim], `new Gate([-2, -1])` for each head's own
 * channels, `new Gate([-3])` for the channels of an image. The mask is a leaf of the model like any weight, null until
 * someone sets it: [...sizes of the axes], or [classes, ...] with one row per class, of which `withClassMasks` takes
 * each image's. `withMasks` puts other tensors in its place for the time of a call. Training changes a mask; weight
 * decay and `initialize` leave it alone, and a checkpoint holds it where asked.
 */
export class Gate {
  static readonly leaves = {
    mask: { role: 'mask', saved: 'asked' },
    index: { trained: false, saved: false },
  } as const
  mask: Tensor | null = null
  index: Tensor | null = null
  scatter: Scatter | null = null
  readonly axes: readonly number[]
  readonly kind: GateKind
  readonly readAt: 'gate' | 'softmax'
  readonly step: number | null
  readonly branchLocal: boolean
  readonly windowed: boolean

  constructor(axes: readonly number[], options: GateOptions = {}) {
    checkOptions('Gate', options, gateKeys)
    const { kind = kindOf(axes), branchLocal = false, windowed = false, scatter } = options
    this.axes = axes
    this.kind = kind
    this.readAt = options.readAt ?? (kind === 'heads' ? 'softmax' : 'gate')
    this.step = options.step === undefined ? kind === 'heads' ? 1 : null : options.step
    this.branchLocal = branchLocal
    this.windowed = windowed
    if (scatter) this.setScatter(scatter)
  }

  /**
   * Makes the gate put its slices at `positions` of an axis of `width`. @throws ShapeError for a gate over several
   * axes.
   */
  setScatter(scatter: Scatter): void {
    if (this.axes.length !== 1) {
      throw new ShapeError(`gate: a gate over axes [${this.axes}] cannot scatter; only one over a single axis can`)
    }
    this.index?.dispose()
    this.scatter = scatter
    this.index = tensor(Uint32Array.from(scatter.positions))
  }

  /**
   * The activation times the mask. Without a mask nothing is computed; a tape still records the call, as the place to
   * read. @throws ShapeError if the mask is one of classes, outside `withClassMasks`.
   */
  call(x: Tensor): Tensor {
    const found = this.present(), mask = typeof found === 'function' ? found(x) : found
    const masked = mask || activeTape() ? gate(x, mask, { axes: this.axes, windowed: this.windowed, at: this }) : x
    return this.scatter ? scatter(masked, this.index!, { axis: this.axes[0], ...this.scatter }) : masked
  }

  /** What a call now does where it only scatters: without a mask and without a tape; null elsewhere. */
  get scattering(): { index: Tensor, attrs: ScatterAttributes } | null {
    return this.scatter && this.masksNothing
      ? { index: this.index!, attrs: { axis: this.axes[0], ...this.scatter } }
      : null
  }

  /** Whether a call now would return its argument: without a mask, a place to scatter to, or a tape. */
  get idle(): boolean {
    return !this.scatter && this.masksNothing
  }

  /** Without a mask, and without a tape that would record the place. */
  private get masksNothing(): boolean {
    return !activeTape() && this.present() === null
  }

  private present(): StandIn['mask'] {
    const standIn = replaced.get(this)
    return standIn?.capture === currentCapture() ? standIn.mask : assume(() => this.effective())
  }

  private effective(): StandIn['mask'] {
    const standIn = replaced.get(this)
    return standIn ? standIn.mask : this.own()
  }

  private own(): Tensor | null {
    if (!this.mask || this.mask.shape.length === this.axes.length) return this.mask
    throw new ShapeError(
      `gate: its mask [${this.mask.shape}] has a row per class; call the model in withClassMasks(model, labels, ...)`,
    )
  }
}

function kindOf(axes: readonly number[]): GateKind {
  if (axes.length > 1) return 'query-key'
  return axes[0] === -3 ? 'filters' : axes[0] === -2 ? 'heads' : 'neurons'
}

/** A mask that depends on the activation that it multiplies. */
export type MaskOf = (x: Tensor) => Tensor

/** A mask for the time of a call, and the capture within which it was put there (0: none). */
interface StandIn {
  mask: Tensor | MaskOf | null
  capture: number
}

let replaced: ReadonlyMap<Gate, StandIn> = new Map()

/** Runs `work` with other tensors in place of the masks of some gates; inner replacements stand over outer ones. */
export function replacingMasks<R>(masks: ReadonlyMap<Gate, StandIn['mask']>, work: () => R): R {
  const before = replaced, capture = currentCapture()
  replaced = new Map([...before, ...[...masks].map(([gate, mask]) => [gate, { mask, capture }] as const)])
  try {
    return work()
  } finally {
    replaced = before
  }
}

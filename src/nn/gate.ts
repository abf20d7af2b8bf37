// The one place that says "this axis may shrink": where a mask multiplies, where relevance and activations are read,
// and what gives a prunable unit its name (the gate's path in the model, `blocks.3.attention.heads`).
import { ShapeError } from '../base/errors.ts'
import { gate } from '../ops/gate.ts'
import { scatter } from '../ops/scatter.ts'
import { activeTape } from '../core/tape.ts'
import { type Tensor, tensor } from '../core/tensor.ts'

/** Where the slices of a narrow axis go in a wider one. */
export interface Scatter {
  positions: readonly number[]
  width: number
}

/** How a gate behaves beside multiplying. */
export interface GateOptions {
  /** Stands before a residual sum and ends its axis there: once sliced, the kept indices scatter back to full width. */
  closing?: boolean
  /** Scatters from the start: the zero channels of an option-A shortcut. */
  scatter?: Scatter
}

/**
 * A mask over some axes of an activation. `axes` are negative, counted from the last: `new Gate([-1])` for hidden
 * neurons,
 * `new Gate([-2])` for the heads of [batch, token, head, dim], `new Gate([-2, -1])` for each head's own channels,
 * `new Gate([-3])` for the channels of an image. The mask is a leaf of the model like any weight, null until someone
 * sets it.
 */
export class Gate {
  static readonly state = ['index']
  mask: Tensor | null = null
  index: Tensor | null = null
  scatter: Scatter | null = null
  readonly axes: readonly number[]
  readonly closing: boolean

  constructor(axes: readonly number[], { closing = false, scatter }: GateOptions = {}) {
    this.axes = axes
    this.closing = closing
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
   * read.
   */
  call(x: Tensor): Tensor {
    const masked = this.mask || activeTape() ? gate(x, this.mask, { axes: this.axes, at: this }) : x
    return this.scatter ? scatter(masked, this.index!, { axis: this.axes[0], ...this.scatter }) : masked
  }
}

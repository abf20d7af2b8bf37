// The one place that says "this axis may shrink": where a mask multiplies, where relevance and activations are read, and what
// gives a prunable unit its name (the gate's path in the model, `blocks.3.attention.heads`).
import { gate } from '../ops/gate.ts'
import { activeTape } from '../tape.ts'
import type { Tensor } from '../tensor.ts'

/** How a gate behaves beside multiplying. */
export interface GateOptions {
  /** Stands before a residual sum and ends its axis there: once sliced, the kept indices scatter back to full width. */
  closing?: boolean
}

/**
 * A mask over some axes of an activation. `axes` are negative, counted from the last: `new Gate([-1])` for hidden neurons,
 * `new Gate([-2])` for the heads of [batch, token, head, dim], `new Gate([-2, -1])` for each head's own channels,
 * `new Gate([-3])` for the channels of an image. The mask is a leaf of the model like any weight, null until someone sets it.
 */
export class Gate {
  mask: Tensor | null = null
  readonly axes: readonly number[]
  readonly closing: boolean

  constructor(axes: readonly number[], { closing = false }: GateOptions = {}) {
    this.axes = axes
    this.closing = closing
  }

  /** The activation times the mask. Without a mask nothing is computed; a tape still records the call, as the place to read. */
  call(x: Tensor): Tensor {
    if (!this.mask && !activeTape()) return x
    return gate(x, this.mask, { axes: this.axes, at: this })
  }
}

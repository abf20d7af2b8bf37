// Indicators: a score for every element, which is a 1 or a 0 on the way forward and itself on the way back (the pruning
// indicator of Li et al., "Pruning-as-Search", arXiv 2206.01198).
//   H heads, D channels of a head
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { stopGradient } from '../../../core/transform.ts'
import { disposeTree } from '../../../core/tree.ts'
import { add, mul } from '../../../ops/elementwise.ts'
import { mean } from '../../../ops/reduce.ts'
import { straightThrough } from '../../../ops/straight-through.ts'
import type { Scores } from '../../scores/criterion.ts'
import type { Unit } from '../../units/units.ts'
import { EqualShares, equalShares, open, threshold, widthsOf } from './shares.ts'

/** What decides how scores become masks. */
export interface IndicatorOptions {
  /** Heads of a unit keep equal shares. */
  adjust: boolean
  /** Value channels have the same indices in all heads. */
  sharedValues: boolean
  /** Widths that the cut will be rounded to, and how many stay at least. */
  multipleOf: number
  minimum: number
}

/** Scores of units with what makes masks of them. */
export class Indicators {
  /** s of each unit, [size] or [H, D]; learnt. */
  readonly scores: ReadonlyMap<string, Tensor>
  /** w of each unit with heads, [H, D]; written from outside. */
  readonly weights: ReadonlyMap<string, Tensor>
  private readonly units: readonly Unit[]
  private readonly options: IndicatorOptions
  private readonly shares = new Map<string, EqualShares>()
  private readonly zeros = new Map<string, Tensor>()
  private readonly half = tensor([threshold])

  /** Starts at `scores`. */
  constructor(units: readonly Unit[], scores: Scores, options: IndicatorOptions) {
    this.units = units
    this.options = options
    this.scores = new Map(units.map(({ name, shape }) => [name, tensor(Float32Array.from(scores.get(name)!), shape)]))
    const ofHeads = units.filter(({ shape }) => shape.length > 1)
    this.weights = new Map(ofHeads.map(({ name, shape, size }) => [
      name,
      tensor(new Float32Array(size).fill(1), shape),
    ]))
    for (const unit of ofHeads) {
      const [heads, dim] = unit.shape
      if (options.adjust) this.shares.set(unit.name, new EqualShares(heads, dim, this.widths(unit)))
      if (this.isShared(unit)) this.zeros.set(unit.name, tensor(new Float32Array(unit.size), unit.shape))
    }
  }

  /** t of a unit: w s, of shared value channels the mean over heads. */
  weighted({ name }: Unit): Tensor {
    const score = this.scores.get(name)!, weight = this.weights.get(name), zeros = this.zeros.get(name)
    const t = weight ? mul(weight, score) : score
    return zeros ? add(mean(t, { axes: [0], keep: true }), zeros) : t
  }

  /** Masks by unit: exactly 0 or 1, with the gradient of t. Runs under the tape. */
  masks(): Map<string, Tensor> {
    return new Map(this.units.map((unit) => {
      const t = this.weighted(unit), shares = this.shares.get(unit.name)
      return [unit.name, straightThrough(t, stopGradient(() => shares ? shares.mask(t) : open(t, this.half)))]
    }))
  }

  /** t' of every unit (t where nothing is adjusted), and the flags of what stays. */
  async read(): Promise<{ scores: Scores, keep: Map<string, Uint8Array> }> {
    const scores = new Map<string, Float32Array>(), keep = new Map<string, Uint8Array>()
    for (const unit of this.units) {
      const { name, shape: [heads, dim] } = unit, t = this.weighted(unit)
      const values = await t.data() as Float32Array
      if (t !== this.scores.get(name)) t.dispose()
      if (this.shares.has(name)) {
        const adjusted = equalShares(values, heads, dim, this.widths(unit))
        scores.set(name, adjusted.scores)
        keep.set(name, adjusted.keep)
      } else {
        const largest = values.reduce((a, b) => Math.max(a, b))
        scores.set(name, values)
        keep.set(name, Uint8Array.from(values, (value) => value > threshold || value === largest ? 1 : 0))
      }
    }
    return { scores, keep }
  }

  /** Frees everything. */
  dispose(): void {
    disposeTree([[...this.scores.values()], [...this.weights.values()], [...this.zeros.values()], this.half])
    for (const each of this.shares.values()) each.dispose()
  }

  private isShared({ kind, shape }: Unit): boolean {
    return this.options.sharedValues && kind === 'values' && shape.length > 1
  }

  private widths({ shape, step }: Unit): number[] {
    const { multipleOf, minimum } = this.options
    return widthsOf(shape.at(-1)!, step ?? multipleOf, minimum)
  }
}

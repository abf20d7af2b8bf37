// Masks of units as masks of gates: a unit with several gates (queries, keys and heads of focused attention) has one
// mask for all, whose elements stand where each gate has them.
import { type Tensor, tensor } from '../../core/tensor.ts'
import { gather } from '../../ops/gather.ts'
import type { Unit } from '../units/units.ts'

/** Hands out masks of units to their gates; holds the indices that takes, if any. */
export class GateMasks {
  private readonly units: readonly Unit[]
  private readonly indices = new Map<string, Tensor>()

  constructor(units: readonly Unit[]) {
    this.units = units
    for (const { gates, shape } of units) {
      const size = shape.at(-1)!
      for (const { path, element } of gates) {
        if (element.length === size && element.every((each, i) => each === i)) continue
        this.indices.set(path, tensor(Uint32Array.from(element)))
      }
    }
  }

  /**
   * By the path of the gate, for `withMasks`: of masks by the name of the unit, [...shape of the unit] for all images
   * or [B, ...shape] with a row for each. Runs under the tape.
   */
  at(masks: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
    const placed = new Map<string, Tensor>()
    for (const { name, gates } of this.units) {
      const mask = masks.get(name)
      for (const { path } of mask ? gates : []) {
        const index = this.indices.get(path)
        placed.set(path, index ? gather(mask!, index, { axis: -1 }) : mask!)
      }
    }
    return placed
  }

  /** Frees the indices. */
  dispose(): void {
    for (const index of this.indices.values()) index.dispose()
  }
}

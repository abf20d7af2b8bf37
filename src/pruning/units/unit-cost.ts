// What an element of a unit costs: the difference that its removal makes, from shapes alone.
import { costOf } from '../../nn/macs.ts'
import type { Model } from '../../nn/model.ts'
import { sliceShapes } from '../plan/slice.ts'
import type { Unit } from './units.ts'

/** Parameters and multiply-adds (for one image) that go with an element. */
export interface ElementCost {
  params: number
  macs: number
}

/**
 * What elements cost: all the same, or the least and the most where some reach further than others (zero-padded
 * shortcuts).
 */
export interface UnitCost {
  least: ElementCost
  most: ElementCost
  mean: ElementCost
}

/**
 * The cost of one element of each unit, by name: what the model has less once that element alone is gone. In a two-axis
 * unit every head loses one channel, the same for all, and an element costs its share. Units that cannot be cut, or
 * have one element, are missing. Costs do not add up exactly where one product has two axes of the same unit. Needs no
 * device.
 */
export function unitCosts(
  model: Model,
  input: readonly [channels: number, height: number, width: number],
  found: readonly Unit[],
): Map<string, UnitCost> {
  const whole = costOf(model, input)
  return new Map(found.flatMap((unit): [string, UnitCost][] => {
    const channels = unit.shape.at(-1)!, heads = unit.size / channels
    if (unit.prunable !== true || channels < 2) return []
    const without = (element: number): ElementCost => {
      const keep = Uint8Array.from({ length: unit.size }, (_, i) => i % channels === element ? 0 : 1)
      const left = costOf(sliceShapes(model, found, new Map([[unit.name, keep]])), input)
      return { params: (whole.params - left.params) / heads, macs: (whole.macs - left.macs) / heads }
    }
    // Elements at as many indices of the same tensors cost the same.
    const kinds = new Map<string, { count: number, cost: ElementCost }>()
    for (const [element, place] of placesOf(unit, channels).entries()) {
      const known = kinds.get(place)
      if (known) known.count++
      else kinds.set(place, { count: 1, cost: without(element) })
    }
    const all = [...kinds.values()]
    const each = (pick: (values: number[]) => number): ElementCost => ({
      params: pick(all.map(({ cost }) => cost.params)),
      macs: pick(all.map(({ cost }) => cost.macs)),
    })
    const mean = (values: number[]) => values.reduce((sum, value, i) => sum + value * all[i].count, 0) / channels
    return [[unit.name, {
      least: each((values) => Math.min(...values)),
      most: each((values) => Math.max(...values)),
      mean: each(mean),
    }]]
  }))
}

/** For each element how many indices of which members are its own, as text. */
function placesOf({ members }: Unit, channels: number): string[] {
  const places = Array.from({ length: channels }, () => new Map<number, number>())
  members.forEach(({ element }, member) => {
    for (const each of element) if (each >= 0) places[each].set(member, (places[each].get(member) ?? 0) + 1)
  })
  return places.map((place) => [...place].join())
}

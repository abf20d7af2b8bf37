// How long a pruned network takes on this device, without making each one: layers of equal shape are measured together
// at some widths, and what lies between is interpolated. What is chosen by the table is measured afterwards.
import { checkOptions } from '../base/options.ts'
import { compareTurns, median } from '../base/turns.ts'
import type { Model } from '../nn/model.ts'
import { timeInTurns } from '../train/timing.ts'
import { disposeTree, leaves } from '../core/tree.ts'
import { type HostTensor, hostWeights, type Plan, sliceModel } from './plan/slice.ts'
import type { Unit } from './units/units.ts'

/** Milliseconds by layer and width. */
export interface LatencyTable {
  /** The dense network, per batch. */
  dense: number
  /** All its times, as they were taken in turns with the others. */
  denseTimes: number[]
  rows: { units: string[], width: number, ms: number }[]
  /** The time of a plan by the table. */
  predict(plan: Plan): number
}

const shares = [0.75, 0.5, 0.25, 0.125]

/**
 * Measures the table for `units`: one row per group of units with equal shapes and width, all units of a group cut at
 * once. Each takes turns with the dense network, so that a row says what is saved even where the machine slows down
 * between two rows.
 */
export async function latencyTable(
  model: Model,
  found: readonly Unit[],
  units: readonly Unit[],
  shape: readonly number[],
  options: { rounds?: number, onProgress?: (done: number, total: number) => void } = {},
): Promise<LatencyTable> {
  checkOptions('latencyTable', options, { rounds: true, onProgress: true })
  const { rounds = 5, onProgress } = options
  const groups = [...groupBy(units, signatureOf(model)).values()]
  const weights: ReadonlyMap<string, HostTensor> = await hostWeights(model)
  const turns = (models: Model[]) => timeInTurns(models, shape, { rounds, least: Math.min(rounds, 3) })
  const denseTimes = [...(await turns([model]))[0]]
  const measured: { units: string[], width: number, ratio: number }[] = []
  // Saved by a unit at a width, as a share of the dense time.
  const savings = new Map<string, { kept: number, saved: number }[]>()
  for (const group of groups) {
    const width = group[0].shape.at(-1)!
    const points = [{ kept: width, saved: 0 }]
    for (const kept of new Set(shares.map((share) => Math.max(1, Math.round(share * width))))) {
      const plan = new Map(
        group.map((unit) => [unit.name, Uint8Array.from({ length: unit.size }, (_, i) => Number(i % width < kept))]),
      )
      const small = await sliceModel(model, [1, ...shape.slice(1)], plan, { found, weights })
      const [whole, cut] = await turns([model, small]).finally(() => {
        disposeTree(small)
      })
      denseTimes.push(...whole)
      const { ratio } = compareTurns(whole, cut)
      measured.push({ units: group.map(({ name }) => name), width: kept, ratio })
      // A width that seems slower than the whole layer is noise, or not worth cutting to.
      points.push({ kept, saved: Math.max(0, 1 - ratio) / group.length })
      onProgress?.(measured.length, groups.length * shares.length)
    }
    for (const { name } of group) savings.set(name, points)
  }
  const widths = new Map(units.map((unit) => [unit.name, unit.shape.at(-1)!]))
  const left = (plan: Plan) =>
    [...plan].reduce((share, [name, keep]) => {
      const points = savings.get(name)
      if (!points) return share
      const heads = keep.length / widths.get(name)!
      return share - interpolate(points, keep.reduce((a, b) => a + b, 0) / heads)
    }, 1)
  // Savings are added up, and may add up to more than there is.
  const least = Math.min(1, ...measured.map(({ ratio }) => ratio)) / 20
  const dense = median(denseTimes)
  return {
    dense,
    denseTimes,
    rows: measured.map(({ ratio, ...row }) => ({ ...row, ms: ratio * dense })),
    predict: (plan) => dense * Math.max(least, left(plan)),
  }
}

/** Between the two nearest widths; below the narrowest, along the last line. */
function interpolate(points: readonly { kept: number, saved: number }[], kept: number): number {
  const next = Math.max(1, points.findIndex((point) => point.kept <= kept))
  const low = points[points.some((point) => point.kept <= kept) ? next : points.length - 1],
    high = points[points.indexOf(low) - 1]
  if (!high || low.kept === high.kept) return low.saved
  return high.saved + (low.saved - high.saved) * (high.kept - kept) / (high.kept - low.kept)
}

/** Units are alike if their members differ only by numbers in their paths, and have the same shapes. */
function signatureOf(model: unknown): (unit: Unit) => string {
  const shapes = new Map(leaves(model).map(([path, { shape }]) => [path, shape.join('x')]))
  return ({ members, shape }) =>
    `${shape.join('x')} ${
      members.map(({ path, axis }) => `${path.replace(/\d+/g, '#')}:${axis}:${shapes.get(path)!}`).join(' ')
    }`
}

function groupBy<T>(list: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of list) groups.set(key(item), [...groups.get(key(item)) ?? [], item])
  return groups
}

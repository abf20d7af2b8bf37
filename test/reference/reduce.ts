/** Reductions over any axes. `axes` names them (negative ones count from the back; all of them when left out). */
import { axisOf, build, coordinates, index } from './nd.ts'
import type { Nd } from './nd.ts'

/** Which axes go, and whether they stay behind with extent 1. */
export interface Reduction {
  axes?: number[]
  keepdim?: boolean
}

const reduce = (f: (values: number[]) => number) => (x: Nd, { axes, keepdim = false }: Reduction = {}): Nd => {
  const gone = x.shape.map(() => axes === undefined)
  axes?.forEach((axis) => {
    gone[axisOf(x.shape.length, axis)] = true
  })
  const kept = x.shape.map((extent, axis) => gone[axis] ? 1 : extent)
  const groups: number[][] = Array.from({ length: kept.reduce((a, b) => a * b, 1) }, () => [])
  x.data.forEach((value, i) => {
    const at = coordinates(x.shape, i).map((c, axis) => gone[axis] ? 0 : c)
    groups[index(kept, at)].push(value)
  })
  const shape = keepdim ? kept : x.shape.filter((_, axis) => !gone[axis])
  let next = 0
  return build(shape, () => f(groups[next++]))
}

const total = (values: number[]): number => values.reduce((a, b) => a + b, 0)
const average = (values: number[]): number => total(values) / values.length

/** Sum of x. */
export const sum = reduce(total)
/** Sum of x over the count. */
export const mean = reduce(average)
/** Largest value; -Infinity over nothing. */
export const max = reduce((values) => values.reduce((a, b) => Math.max(a, b), -Infinity))
/** Smallest value; Infinity over nothing. */
export const min = reduce((values) => values.reduce((a, b) => Math.min(a, b), Infinity))
/** mean((x - mean x)²): the biased variance. */
export const variance = reduce((values) => {
  const centre = average(values)
  return average(values.map((v) => (v - centre) ** 2))
})
/** sqrt(sum x²): the L2 norm. */
export const norm = reduce((values) => Math.sqrt(total(values.map((v) => v * v))))

// One point of a sweep: a network as one method with one seed leaves it at one rate, what it is worth, and where that
// was measured.
import { hostname } from 'node:os'
import type { Figures } from '../report/types.ts'
import { packageVersion } from '../files/package.ts'

/** Where and with what a point was measured. */
export interface Place {
  /** The machine: Slurm's name of the node, else the host's. */
  node: string
  adapter: string
  versions: Record<string, string>
}

/** One point of a curve, as it is kept. `kept` counts what is left of each unit. */
export interface Point extends Partial<Place> {
  method: string
  /** Which version of a user's own file. */
  source?: string
  seed: number
  rate: number
  after: Figures
  how: 'sliced' | 'masked'
  kept: number[]
}

/** What says whose curve a point is on. */
export type Curved = Pick<Point, 'method' | 'source' | 'seed'>

/** Whether two points, or a point and a curve, are of one curve. */
export const sameCurve = (a: Curved, b: Curved): boolean =>
  a.method === b.method && a.source === b.source && a.seed === b.seed

/** This process on an adapter. */
export const placeOf = (adapter: string): Place => ({
  node: process.env.SLURMD_NODENAME ?? hostname(),
  adapter,
  versions: { espalier: packageVersion(), node: process.versions.node },
})

/** Whether a value is a whole number from 0. */
export const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0

const isText = (value: unknown) => value === undefined || typeof value === 'string'

/** Whether a line of a journal is a point of a sweep of a network whose units have these sizes. */
export function isPoint(value: unknown, sizes: readonly number[]): value is Point {
  if (typeof value !== 'object' || value === null) return false
  const { method, source, seed, rate, after, how, kept, node, adapter, versions } = value as Partial<Point>
  if (typeof after !== 'object' || after === null) return false
  const { top1, images, params, macs } = after
  return typeof method === 'string' && isText(source) && isText(node) && isText(adapter)
    && (versions === undefined || typeof versions === 'object' && versions !== null) && isCount(seed)
    && typeof rate === 'number' && rate >= 0 && rate < 1
    && typeof top1 === 'number' && top1 >= 0 && top1 <= 1 && isCount(images) && isCount(params) && isCount(macs)
    && (how === 'sliced' || how === 'masked')
    && Array.isArray(kept) && kept.length === sizes.length && kept.every((n, i) => isCount(n) && n <= sizes[i])
}

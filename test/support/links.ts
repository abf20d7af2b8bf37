// Checks the links of an op that moves values: along every link, the output must hold the very entries that it says.
import { expect } from 'vitest'
import { linksOf, type Mapping } from '../../src/core/axes.ts'
import type { AnyOp } from '../../src/core/tape.ts'
import { build, coordinates, nd, type Nd } from '../reference/nd.ts'

/**
 * Numbers every entry of one argument by its place along the axis of a link (others hold -1), runs the reference, and
 * compares the output along the linked axis. `skip` is a value that may stand anywhere (padding); `only` looks at the
 * links of one argument. Returns the mapping for further checks.
 */
export function checkLinks(
  op: AnyOp,
  reference: (...args: Nd[]) => Nd,
  shapes: number[][],
  attrs: object,
  { skip = -1, only }: { skip?: number, only?: number } = {},
): Mapping {
  const out = reference(...shapes.map((shape) => nd(shape)))
  const mapping = linksOf(op.axes, shapes, out.shape, attrs)
  for (const { size, a, b } of mapping.links) {
    if (only !== undefined && a.tensor !== only) continue
    expect(b.tensor).toBe(-1)
    expect(size).toBeGreaterThan(0)
    const places = reference(...shapes.map((shape, i) => build(shape, (at) => (i === a.tensor ? at[a.axis] : -1))))
    let seen = 0
    places.data.forEach((value, i) => {
      const k = (coordinates(places.shape, i)[b.axis] - b.offset) / b.stride
      if (!Number.isInteger(k) || k < 0 || k >= size || value === skip) return
      seen++
      expect(value).toBe(a.offset + k * a.stride)
    })
    expect(seen, 'entries compared').toBeGreaterThan(0)
  }
  return mapping
}

/** How many entries of each axis of argument 0 are linked: all of them where the op drops nothing. */
export function covered({ links }: Mapping, rank: number): number[] {
  return Array.from(
    { length: rank },
    (_, axis) => links.filter(({ a }) => a.tensor === 0 && a.axis === axis).reduce((sum, { size }) => sum + size, 0),
  )
}

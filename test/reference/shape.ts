/** Ops that move values and compute nothing, and the one sum among them, scatter-add. */
import { axisOf, build, coordinates, index, nd, sizeOf } from './nd.ts'
import type { Nd } from './nd.ts'

/** The same values in the same order under another shape; one extent may be -1. */
export function reshape(x: Nd, { shape }: { shape: number[] }): Nd {
  const rest = shape.filter((extent) => extent !== -1)
  return nd(shape.map((extent) => extent === -1 ? x.data.length / sizeOf(rest) : extent), x.data)
}

/** Axis i of the result is axis order[i] of x. */
export const permute = (x: Nd, { order }: { order: number[] }): Nd =>
  build(order.map((axis) => x.shape[axis]), (at) => {
    const from = new Array<number>(at.length)
    order.forEach((axis, i) => {
      from[axis] = at[i]
    })
    return x.data[index(x.shape, from)]
  })

/** `before[i]` and `after[i]` entries of `value` around axis i; negative amounts cut off. */
export const pad = (x: Nd, { before, after, value = 0 }: { before: number[], after: number[], value?: number }): Nd =>
  build(x.shape.map((extent, axis) => before[axis] + extent + after[axis]), (at) => {
    const from = at.map((c, axis) => c - before[axis])
    return from.every((c, axis) => c >= 0 && c < x.shape[axis]) ? x.data[index(x.shape, from)] : value
  })

/** Entry j of axis axes[i] moves to (j + shifts[i]) mod its extent. */
export const roll = (x: Nd, { shifts, axes }: { shifts: number[], axes: number[] }): Nd =>
  build(x.shape, (at) => {
    const from = [...at]
    axes.forEach((axis, i) => {
      const along = axisOf(at.length, axis), extent = x.shape[along]
      from[along] = ((at[along] - shifts[i]) % extent + extent) % extent
    })
    return x.data[index(x.shape, from)]
  })

/**
 * Along axis i the entries start[i], start[i] + step[i], ... below end[i]: x[start:end:step, ...]. Steps are positive.
 */
export function slice(
  x: Nd,
  { start, end, step = start.map(() => 1) }: { start: number[], end: number[], step?: number[] },
): Nd {
  const shape = x.shape.map((extent, axis) =>
    Math.max(0, Math.ceil((Math.min(end[axis], extent) - start[axis]) / step[axis]))
  )
  return build(shape, (at) => x.data[index(x.shape, at.map((c, axis) => start[axis] + c * step[axis]))])
}

/** The arguments one after the other along one axis; the other axes agree. */
export function concat(parts: Nd[], { axis }: { axis: number }): Nd {
  const along = axisOf(parts[0].shape.length, axis)
  const shape = [...parts[0].shape]
  shape[along] = parts.reduce((extent, part) => extent + part.shape[along], 0)
  return build(shape, (at) => {
    let offset = at[along], part = 0
    while (offset >= parts[part].shape[along]) offset -= parts[part++].shape[along]
    return parts[part].data[index(parts[part].shape, at.with(along, offset))]
  })
}

/**
 * x read along `axis` at whole-number `indices` of any shape, which takes the place of that axis: x [V, C] with indices
 * [B, T] and axis 0 gives [B, T, C].
 */
export function gather(x: Nd, indices: Nd, { axis }: { axis: number }): Nd {
  const along = axisOf(x.shape.length, axis)
  const shape = [...x.shape.slice(0, along), ...indices.shape, ...x.shape.slice(along + 1)]
  return build(shape, (at) => {
    const entry = indices.data[index(indices.shape, at.slice(along, along + indices.shape.length))]
    return x.data[index(x.shape, [...at.slice(0, along), entry, ...at.slice(along + indices.shape.length)])]
  })
}

/**
 * The adjoint of `gather`: zeros with `size` entries along `axis`, to which each update is added at its index; indices
 * that repeat add up. updates [B, T, C], indices [B, T], axis 0, size V give [V, C].
 */
export function scatterAdd(updates: Nd, indices: Nd, { axis, size }: { axis: number, size: number }): Nd {
  const rank = indices.shape.length
  const along = axisOf(updates.shape.length - rank + 1, axis)
  const out = nd([...updates.shape.slice(0, along), size, ...updates.shape.slice(along + rank)])
  updates.data.forEach((value, i) => {
    const at = coordinates(updates.shape, i)
    const entry = indices.data[index(indices.shape, at.slice(along, along + rank))]
    out.data[index(out.shape, [...at.slice(0, along), entry, ...at.slice(along + rank)])] += value
  })
  return out
}

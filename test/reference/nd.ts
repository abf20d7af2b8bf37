/**
 * The arrays of the references: a shape and row-major doubles. Everything here is written to be obviously right rather
 * than fast, because every kernel is judged by it.
 */
export interface Nd {
  /** Extent of every axis; `[]` is a scalar. */
  shape: number[]
  /** Row-major values, as many as the product of the shape. Labels, indices and masks are whole numbers in here. */
  data: Float64Array
}

/** An array of this shape. Without data it holds zeros; a wrong number of values is an error. */
export function nd(shape: readonly number[], data?: ArrayLike<number>): Nd {
  const size = sizeOf(shape)
  if (data && data.length !== size) throw new Error(`nd: shape [${shape}] holds ${size} values, got ${data.length}`)
  return { shape: [...shape], data: data ? Float64Array.from(data) : new Float64Array(size) }
}

/** A scalar, shape []. */
export const scalar = (value: number): Nd => nd([], [value])

/** Number of values of a shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1)

/** Distance in `data` between neighbours along every axis: [C*H*W, H*W, W, 1] for [N, C, H, W]. */
export function strides(shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length)
  let stride = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    out[axis] = stride
    stride *= shape[axis]
  }
  return out
}

/** Position in `data` of the entry at these coordinates, one per axis. */
export function index(shape: readonly number[], coordinates: readonly number[]): number {
  let flat = 0
  for (let axis = 0; axis < shape.length; axis++) flat = flat * shape[axis] + coordinates[axis]
  return flat
}

/** Coordinates of a position in `data`: the inverse of `index`. */
export function coordinates(shape: readonly number[], flat: number): number[] {
  const out = new Array<number>(shape.length)
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    out[axis] = flat % shape[axis]
    flat = Math.floor(flat / shape[axis])
  }
  return out
}

/** Fills a new array by calling `value` with the coordinates of each entry. Most references are one such call. */
export function build(shape: readonly number[], value: (at: number[]) => number): Nd {
  const out = nd(shape)
  for (let i = 0; i < out.data.length; i++) out.data[i] = value(coordinates(shape, i))
  return out
}

/** An axis counted from the front; -1 is the last. Out of range is an error. */
export function axisOf(rank: number, axis: number): number {
  const positive = axis < 0 ? axis + rank : axis
  if (!(positive >= 0 && positive < rank)) throw new Error(`axis ${axis} of an array with ${rank} axes`)
  return positive
}

/** The shape both broadcast to: aligned at the last axis, extents equal or 1. */
export function broadcastShape(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length))
  return Array.from({ length: rank }, (_, axis) => {
    const extents = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1)
    const extent = extents.find((e) => e !== 1) ?? 1
    if (extents.some((e) => e !== 1 && e !== extent)) {
      throw new Error(`cannot broadcast ${shapes.map((s) => `[${s}]`).join(' with ')}`)
    }
    return extent
  })
}

/** x repeated to `shape`: missing leading axes and axes of extent 1 are read again and again. */
export function broadcast(x: Nd, shape: readonly number[]): Nd {
  if (String(broadcastShape(x.shape, shape)) !== String(shape)) {
    throw new Error(`cannot broadcast [${x.shape}] to [${shape}]`)
  }
  const missing = shape.length - x.shape.length
  return build(
    shape,
    (at) => x.data[index(x.shape, x.shape.map((extent, axis) => extent === 1 ? 0 : at[axis + missing]))],
  )
}

/** Uniform numbers in [0, 1) that depend on the seed only (a multiplicative hash of a counter; 32 bits each). */
export function generator(seed: number): () => number {
  let counter = Math.imul(seed, 0x9e3779b1) >>> 0
  return () => {
    counter = (counter + 0x6d2b79f5) >>> 0
    let z = counter
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * Standard normal values times `scale` plus `shift`, rounded to float32: a kernel fed with them and a reference fed
 * with them see the very same numbers.
 */
export function random(seed: number, shape: readonly number[], scale = 1, shift = 0): Nd {
  const next = generator(seed)
  const out = nd(shape)
  for (let i = 0; i < out.data.length; i++) {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
    out.data[i] = Math.fround(normal * scale + shift)
  }
  return out
}

/** Uniform values in [low, high), rounded to float32. */
export function uniform(seed: number, shape: readonly number[], low = 0, high = 1): Nd {
  const next = generator(seed)
  return nd(shape, Float64Array.from({ length: sizeOf(shape) }, () => Math.fround(low + (high - low) * next())))
}

/** Whole numbers in [0, below), for labels and indices. */
export function randomIntegers(seed: number, shape: readonly number[], below: number): Nd {
  const next = generator(seed)
  return nd(shape, Float64Array.from({ length: sizeOf(shape) }, () => Math.floor(next() * below)))
}

/** Zeros and ones, a one with probability `keep`. */
export function randomMask(seed: number, shape: readonly number[], keep = 0.5): Nd {
  const next = generator(seed)
  return nd(shape, Float64Array.from({ length: sizeOf(shape) }, () => next() < keep ? 1 : 0))
}

/**
 * max|got - expected| / max|expected|, the one measure of this project's tests; where everything expected is zero,
 * max|got|. Anything not finite on one side only, NaN included, counts as Infinity, so a comparison with a tolerance
 * fails.
 */
export function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) throw new Error(`relativeError: ${got.length} values against ${expected.length}`)
  let difference = 0, largest = 0
  for (let i = 0; i < got.length; i++) {
    if (got[i] === expected[i] && !Number.isFinite(got[i])) continue // the same infinity on both sides
    if (!Number.isFinite(got[i]) || !Number.isFinite(expected[i])) return Infinity
    difference = Math.max(difference, Math.abs(got[i] - expected[i]))
    largest = Math.max(largest, Math.abs(expected[i]))
  }
  return largest > 0 ? difference / largest : difference
}

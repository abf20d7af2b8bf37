// Arrays of doubles with a shape: what references take and give.
import { InputError } from '../base/errors.ts'
import { normal } from '../base/random.ts'
import { sizeOf } from '../base/shape.ts'

/** Row-major doubles and the extent of every axis; `[]` is a scalar. */
export interface Values {
  shape: number[]
  data: Float64Array
}

/** A result computed in plain loops over doubles: what an op has to give for these arguments. */
export type Reference = (...args: Values[]) => Values

/** An array of this shape, zeros without data. @throws InputError if there are more or fewer values than it holds. */
export function values(shape: readonly number[], data?: ArrayLike<number>): Values {
  const size = sizeOf(shape)
  if (data && data.length !== size) {
    throw new InputError(`values: shape [${shape}] holds ${size} numbers, got ${data.length}`)
  }
  return { shape: [...shape], data: data ? Float64Array.from(data) : new Float64Array(size) }
}

/** Standard normal deviates, the same for the same seed, rounded to f32 so that a device sees the very same numbers. */
export function normalValues(seed: number, shape: readonly number[]): Values {
  return values(shape, Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.fround(normal(seed, 'values', i))))
}

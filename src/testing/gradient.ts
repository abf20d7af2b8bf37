// Derivatives by differences: what every vjp is compared with.
import { InputError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { type Reference, type Values, values } from './values.ts'

/** How a numerical gradient is taken. */
export interface DifferenceOptions {
  /** Take at most so many entries of the argument, chosen by the seed, the first and the last always among them. */
  samples?: number
  /** Seed of the choice. */
  seed?: number
  /** Distance h between the points of the stencil. */
  step?: number
}

/** Entries of a gradient, `values[i]` belonging to position `entries[i]` of the argument's data; ascending. */
export interface SampledGradient {
  entries: number[]
  values: Float64Array
}

/**
 * d sum(f(...args) weights) / d args[which] by the four-point central difference (8 (f(+h) - f(-h)) - (f(+2h) -
 * f(-2h))) / 12h. Its error is h^4 f'''''/30 plus rounding of about 1e-16 |f| / h, so with h = 3e-5 about 1e-11 where f
 * is smooth and of size one; h is kept that small because an argument closer than 2h to a kink (relu, max) has no
 * derivative by differences. Outputs are subtracted before they are summed: one that does not move contributes exactly
 * nothing.
 */
export function numericalGradient(
  f: Reference,
  args: readonly Values[],
  weights: Values,
  which: number,
  { samples = Infinity, seed = 1, step = 3e-5 }: DifferenceOptions = {},
): SampledGradient {
  const moved = values(args[which].shape, args[which].data)
  const inputs = args.map((arg, i) => i === which ? moved : arg)
  const entries = sampleEntries(moved.data.length, samples, seed)
  const found = new Float64Array(entries.length)
  entries.forEach((entry, i) => {
    const centre = moved.data[entry]
    const at = (offset: number) => {
      moved.data[entry] = centre + offset
      const out = f(...inputs)
      if (String(out.shape) !== String(weights.shape)) {
        throw new InputError(`numericalGradient: output [${out.shape}], weights [${weights.shape}]`)
      }
      return out.data
    }
    const [up, down, up2, down2] = [at(step), at(-step), at(2 * step), at(-2 * step)].map((data) => data.slice())
    moved.data[entry] = centre
    for (let o = 0; o < weights.data.length; o++) {
      found[i] += weights.data[o] * (8 * (up[o] - down[o]) - (up2[o] - down2[o])) / (12 * step)
    }
  })
  return { entries, values: found }
}

/**
 * At most `samples` different positions below `size`, ascending, the first and the last among them; all where they are
 * few.
 */
export function sampleEntries(size: number, samples: number, seed: number): number[] {
  if (size <= samples) return Array.from({ length: size }, (_, i) => i)
  const draw = random(seed, 'entries'), chosen = new Set([0, size - 1])
  while (chosen.size < samples) chosen.add(draw.integer(size))
  return [...chosen].sort((a, b) => a - b)
}

/**
 * max|analytic - numerical| over the sampled entries, divided by the largest magnitude of the whole analytic gradient
 * (or of the samples, if that is larger): the project's measure where only some entries of one side are known.
 */
export function gradientError(analytic: ArrayLike<number>, { entries, values }: SampledGradient): number {
  let largest = 0, difference = 0
  for (let i = 0; i < analytic.length; i++) {
    if (!Number.isFinite(analytic[i])) return Infinity
    largest = Math.max(largest, Math.abs(analytic[i]))
  }
  entries.forEach((entry, i) => {
    const error = Math.abs(analytic[entry] - values[i])
    difference = Number.isNaN(error) ? Infinity : Math.max(difference, error)
    largest = Math.max(largest, Math.abs(values[i]))
  })
  return largest > 0 ? difference / largest : difference
}

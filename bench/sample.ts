// Entries of a result that are checked where computing all of them in doubles would take longer than timing it.
import { random } from '../src/base/random.ts'

/** At most `count` places below `size`, ascending, the first and the last among them; always the same. */
export function sampled(size: number, count = 400): number[] {
  if (size <= count) return Array.from({ length: size }, (_, i) => i)
  const draw = random(23, `sample of ${size}`), chosen = new Set([0, size - 1])
  while (chosen.size < count) chosen.add(draw.integer(size))
  return [...chosen].sort((a, b) => a - b)
}

/** The entries at these places. */
export const pickedAt = (places: readonly number[]) => (values: ArrayLike<number>): number[] =>
  places.map((at) => values[at])

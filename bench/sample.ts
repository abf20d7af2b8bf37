// Entries of a result that are checked where computing all of them in doubles would take longer than timing it.
import { sampleEntries } from '../src/testing/gradient.ts'

/** At most `count` places below `size`, ascending, the first and the last among them; always the same. */
export const sampled = (size: number, count = 400): number[] => sampleEntries(size, count, 23)

/** The entries at these places. */
export const pickedAt = (places: readonly number[]) => (values: ArrayLike<number>): number[] =>
  places.map((at) => values[at])

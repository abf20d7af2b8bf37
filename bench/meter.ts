// One count for a whole suite, so that progress says which case is at work, in which round, and how long everything
// takes from here on.
import type { OnProgress } from '../src/pruning/progress.ts'

/** Counts the rounds of all cases; making and checking a case counts as one. */
export interface Meter {
  /** Case `i` begins: what it is called. The result is told how many of its rounds are done. */
  begin(i: number, name: string): OnProgress
}

/** A meter for so many cases of so many rounds. Nothing is told where `onProgress` is absent. */
export function meter(what: string, cases: number, rounds: number, onProgress?: OnProgress): Meter {
  const each = rounds + 1, total = cases * each
  return {
    begin(i, name) {
      const place = cases > 1 ? ` (${i + 1} of ${cases})` : ''
      onProgress?.(what, i * each, total, `${name}${place}: making and checking`)
      return (_, done, of, note) => {
        // A case may have other rounds of its own: what counts is how far it has come.
        const round = of > 0 ? Math.min(rounds, Math.round(rounds * done / of)) : 0
        // The last round of the last case ends the count; whoever is told stops the bar there.
        onProgress?.(
          what,
          i * each + 1 + round,
          total,
          `${name}${place}: round ${done} of ${of}${note ? `, ${note}` : ''}`,
        )
      }
    },
  }
}

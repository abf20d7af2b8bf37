// A part tells its progress on stderr, in lines that the run as a whole passes on.
import type { OnProgress } from '../../src/pruning/progress.ts'

/** At most a line in three seconds. */
export function progressLines(part: string, write = (line: string): unknown => process.stderr.write(line)): OnProgress {
  let last = 0
  return (what, done, total, note = '') => {
    const now = performance.now()
    if (now - last < 3000) return
    last = now
    write(`${part}: ${what} ${done} of ${total}${note && `, ${note}`}\n`)
  }
}

/** Tells nothing. */
export const nothing: OnProgress = () => undefined

// The watchdog: a kernel whose loop does not end is ended, by an exception out of WebAssembly, and becomes an error.

/** Thrown through a kernel that ran out of time. */
export class OutOfTime extends WebAssembly.RuntimeError {
  /** Line of the loop that was running, 0 if it was none that the compiler watches. */
  readonly line: number
  constructor(line: number, milliseconds: number) {
    super(
      `${line ? `the loop at line ${line} did not end` : 'one call of the kernel did not end'} within `
        + `${
          milliseconds / 1000
        } s, so the kernel was stopped: give the loop an end that does not depend on data, or the `
        + 'device a longer time limit (timeLimit, ESPALIER_TIME_LIMIT in seconds, 0 for none)',
    )
    this.line = line
  }
}

/** Looks so far apart, as a share of the limit, say that the process stood still: stopped, or the machine asleep. */
export const STILL = 0.1

/** So often in one call; a loop whose turns are that long themselves ends later, but ends. */
export const MOST_STILL = 8

/** How long one call of a kernel may take; `tick` is what kernels import. */
export class Watchdog {
  /** Milliseconds; Infinity for none. */
  readonly limit: number
  private readonly clock: () => number
  private deadline = Infinity
  private seen = 0
  private stills = 0

  constructor(limit: number, clock: () => number = () => performance.now()) {
    this.limit = limit
    this.clock = clock
  }

  /** A call of a kernel begins. */
  begin(now: number): void {
    this.deadline = now + this.limit
    this.seen = now
    this.stills = 0
  }

  // Of what runs in worker.ts too, which can use nothing from here.
  readonly tick = (line: number): void => {
    const now = this.clock(), gap = now - this.seen
    this.seen = now
    if (gap > STILL * this.limit && this.stills++ < MOST_STILL) this.deadline += gap
    if (now > this.deadline) throw new OutOfTime(line, this.limit)
  }
}

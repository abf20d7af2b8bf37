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

/** How long one call of a kernel may take; `tick` is what kernels import. */
export class Watchdog {
  /** Milliseconds; Infinity for none. */
  readonly limit: number
  private deadline = Infinity

  constructor(limit: number) {
    this.limit = limit
  }

  /** A call of a kernel begins. */
  begin(now: number): void {
    this.deadline = now + this.limit
  }

  readonly tick = (line: number): void => {
    if (performance.now() > this.deadline) throw new OutOfTime(line, this.limit)
  }
}

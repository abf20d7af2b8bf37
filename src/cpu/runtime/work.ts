// The device's work in the order it was given. What fits into a few milliseconds of this turn of the event loop is done
// at once; the rest goes on in slices, one a turn, so that timers, sockets and signals are served during a long pass.
import { nextTurn } from './platform.ts'

/** Milliseconds of work in one turn of the event loop. */
const SLICE = 4

/** Does some of its work, until that time of `performance.now()`; true when all is done. */
export type Step = (until: number) => boolean

/** Steps in order, each begun when those before it are done. */
export class WorkQueue {
  private steps: { step: Step, always: boolean }[] = []
  private begun = 0
  /** When this turn's share ends; 0 before its first step. */
  private until = 0
  private running = false
  private readonly sliced: boolean

  /** @param sliced false: everything is done at once, as the checking modes want it */
  constructor(sliced: boolean) {
    this.sliced = sliced
  }

  /** Nothing waits: what memory holds is what all work so far has left there. */
  get idle(): boolean {
    return this.begun === this.steps.length
  }

  /**
   * Adds work and does of all that waits what this turn has time for.
   * @param always done even where `clear` drops the work before it: it only tells that the work is over
   */
  add(step: Step, always = false): void {
    this.steps.push({ step, always })
    if (this.running) return // a step that adds one
    if (!this.sliced) {
      this.run(Infinity)
      return
    }
    if (this.until === 0) {
      this.until = performance.now() + SLICE
      nextTurn(this.turn)
    }
    this.run(this.until)
  }

  /** Does all that waits, in this turn. */
  finish(): void {
    if (!this.running) this.run(Infinity)
  }

  /** Drops all work; what only tells of its end is done. */
  clear(): void {
    const rest = this.steps.slice(this.begun)
    this.steps = []
    this.begun = 0
    for (const { step, always } of rest) if (always) step(Infinity)
  }

  private readonly turn = (): void => {
    this.until = 0
    if (this.idle) return
    this.until = performance.now() + SLICE
    nextTurn(this.turn)
    this.run(this.until)
  }

  private run(until: number): void {
    this.running = true
    try {
      while (!this.idle) {
        if (!this.steps[this.begun].step(until)) return
        this.begun++
      }
      this.steps = []
      this.begun = 0
    } finally {
      this.running = false
    }
  }
}

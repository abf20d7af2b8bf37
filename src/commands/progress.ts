// Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere (logs, pipes).
import { Presets, SingleBar } from 'cli-progress'
import { plain } from '../base/quote.ts'

/** A running count of something with a known end. */
export interface Progress {
  /** `done` of the total; `note` is shown behind it, e.g. the loss so far. */
  update(done: number, note?: string): void
  /** Ends the bar; call it also when the work fails. */
  stop(): void
}

/** How progress is shown; without a terminal a line comes every `every` milliseconds at most. */
export interface ProgressOptions {
  quiet?: boolean
  stream?: NodeJS.WriteStream
  every?: number
}

/** Starts to count `what` up to `total`. */
export function progress(
  what: string,
  total: number,
  { quiet = false, stream = process.stderr, every = 10_000 }: ProgressOptions = {},
): Progress {
  if (quiet) return { update() {}, stop() {} }
  const safe = plain(what, 80)
  return stream.isTTY ? bar(safe, total, stream) : lines(safe, total, stream, every)
}

function bar(what: string, total: number, stream: NodeJS.WriteStream): Progress {
  const shown = new SingleBar({
    stream,
    // Neither a hidden cursor nor a mode of the terminal that Ctrl-C would leave behind; results take the bar's place.
    hideCursor: false,
    linewrap: true,
    clearOnComplete: true,
    gracefulExit: false,
    format: (_, { value, progress: share }, { note }: { note: string }) =>
      barLine({ what, share, note, count: `${value}/${total}`, pace: pace(value, total, start) }, stream.columns || 80),
  }, Presets.shades_classic)
  const start = performance.now()
  let note = '', done = 0, drawn = false
  const self = {
    draw() {
      if (!drawn) shown.start(total, done, { note })
      drawn = true
    },
    erase() {
      if (drawn) shown.stop()
      drawn = false
    },
  }
  bars.at(-1)?.erase()
  bars.push(self)
  self.draw()
  return {
    update(now, text = '') {
      done = now
      note = text
      if (drawn) shown.update(now, { note })
    },
    stop() {
      if (!bars.includes(self)) return
      self.erase()
      bars.splice(bars.indexOf(self), 1)
      bars.at(-1)?.draw()
    },
  }
}

/** Bars that are at work, of which the last is drawn: what one of them does in between may have a bar of its own. */
const bars: { draw(): void, erase(): void }[] = []

/** Prints something while a bar may be drawn, which makes room for it. */
export function besideBars(print: () => void) {
  bars.at(-1)?.erase()
  print()
  bars.at(-1)?.draw()
}

/** Takes all bars away for good. */
export function endBars() {
  for (const bar of bars.splice(0)) bar.erase()
}

interface BarText {
  what: string
  share: number
  note: string
  count: string
  pace: string
}

/** A line that is never wider than the terminal: first the bar gives way, then the note, then everything. */
export function barLine({ what, share, note, count, pace }: BarText, columns: number): string {
  const room = columns - 1 - [what, count, pace].join('   ').length - 2, wish = note ? note.length + 2 : 0
  const size = Math.max(8, Math.min(40, room - wish)), full = Math.round(size * Math.min(1, share))
  const line = `${what} ${'█'.repeat(full)}${'░'.repeat(size - full)} ${count}  ${pace}${note && `  ${note}`}`
  return line.length < columns ? line : `${line.slice(0, Math.max(0, columns - 2))}…`
}

/** Rate, and what is left where that is known. */
function pace(done: number, total: number, start: number): string {
  // The first of several may have been known, or wait in a buffer: what one second has not shown is no pace.
  if (!done || done < total && performance.now() - start < 1000) return '-/s'
  const left = (performance.now() - start) / done * (total - done) / 1000
  return `${rate(done, start)}/s  ${duration(left)} left`
}

const duration = (seconds: number): string =>
  seconds < 100 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`

function lines(what: string, total: number, stream: NodeJS.WriteStream, every: number): Progress {
  const start = performance.now()
  let last = start, ended = false
  return {
    update(done, note = '') {
      const now = performance.now()
      if (ended || (now - last < every && done < total)) return
      last = now
      ended = done >= total
      stream.write(
        `${what}: ${done}/${total}${done ? `, ${rate(done, start)}/s` : ''}${
          done && !ended ? `, ${Math.round((now - start) / done * (total - done) / 1000)} s left` : ''
        }${note && `, ${note}`}\n`,
      )
    },
    stop() {},
  }
}

function rate(done: number, start: number): string {
  const value = done / Math.max(1e-3, (performance.now() - start) / 1000)
  return value.toFixed(value < 10 ? 2 : 0)
}

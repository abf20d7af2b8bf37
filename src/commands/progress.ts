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
    hideCursor: true,
    clearOnComplete: false,
    etaBuffer: 20,
    gracefulExit: false,
    format: '{what} {bar} {value}/{total}  {rate}/s  {eta_formatted} left  {note}',
  }, Presets.shades_classic)
  const start = performance.now()
  shown.start(total, 0, { what, rate: '-', note: '' })
  return {
    update: (done, note = '') => shown.update(done, { rate: rate(done, start), note }),
    stop: () => shown.stop(),
  }
}

function lines(what: string, total: number, stream: NodeJS.WriteStream, every: number): Progress {
  const start = performance.now()
  let last = start, ended = false
  return {
    update(done, note = '') {
      const now = performance.now()
      if (ended || (now - last < every && done < total)) return
      last = now
      ended = done >= total
      const left = done ? Math.round((now - start) / done * (total - done) / 1000) : 0
      stream.write(
        `${what}: ${done}/${total}, ${rate(done, start)}/s${ended ? '' : `, ${left} s left`}${note && `, ${note}`}\n`,
      )
    },
    stop() {},
  }
}

function rate(done: number, start: number): string {
  const value = done / Math.max(1e-3, (performance.now() - start) / 1000)
  return value.toFixed(value < 10 ? 2 : 0)
}

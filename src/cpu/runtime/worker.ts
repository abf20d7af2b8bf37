// What a worker thread does: claims chunks of the open job, spins a little when there is none, then sleeps.

/**
 * Where in linear memory the threads meet: indices into an Int32Array at `address`, on cache lines of their own where
 * it matters.
 */
export const control = {
  address: 1024,
  length: 256,
  /** job number << 10 | next chunk; `closed` as next chunk means that no job is open. */
  claim: 0,
  closed: 1023,
  /** chunks done, and whether the main thread sleeps on that */
  done: 16,
  waiting: 32,
  /** chunks that workers have run so far */
  helped: 17,
  /** workers asleep, and the word they sleep on */
  sleeping: 48,
  wake: 64,
  stop: 80,
  failed: 81,
  // the open job
  kernel: 96,
  code: 97,
  codeLength: 98,
  first: 99,
  last: 100,
  size: 101,
  chunks: 102,
  scratch: 103,
  stride: 104,
  /** Byte address of the words kernels get as `block`. */
  block: 2048,
} as const

/** What a worker is started with. */
export interface WorkerData {
  memory: WebAssembly.Memory
  /** From 1; the main thread is 0. */
  thread: number
  control: typeof control
  /** Most milliseconds of one chunk; milliseconds between two looks that do not count, and how often. */
  timeLimit: number
  still: number
  mostStill: number
}

type Run = (block: number, scratch: number, first: number, last: number) => void

/**
 * The loop of a worker thread; returns when the device stops. Its source text is what runs, in another thread: it uses
 * nothing outside itself, and has no functions inside but a method: around others bundlers put helpers, which would be
 * missing there.
 */
export function runWorker({ memory, thread, control, timeLimit, still, mostStill }: WorkerData): void {
  const cells = new Int32Array(memory.buffer, control.address, control.length)
  /** Null for a kernel this thread could not load: it leaves the work to the others. */
  const kernels = new Map<number, Run | null>()
  /** How long to look for work before going to sleep, in milliseconds. */
  const patience = 0.15
  let idleSince = performance.now(), looks = 0
  /**
   * When the chunk at work must be done, and the line of the loop that was at work when it was not; when it was last
   * looked at, and how often the process stood still since it began (`Watchdog`).
   */
  const watch = { deadline: Infinity, line: -1, seen: 0, stills: 0 }
  const env = {
    memory,
    tick(line: number) {
      const now = performance.now(), gap = now - watch.seen
      watch.seen = now
      if (gap > still && watch.stills++ < mostStill) watch.deadline += gap
      if (now <= watch.deadline) return
      watch.line = line
      throw new Error('out of time')
    },
  }

  while (!Atomics.load(cells, control.stop)) {
    const word = Atomics.load(cells, control.claim), next = word & control.closed
    if (next >= Atomics.load(cells, control.chunks) || next === control.closed) {
      if ((++looks & 63) !== 0 || performance.now() - idleSince < patience) continue
      const wake = Atomics.load(cells, control.wake)
      Atomics.add(cells, control.sleeping, 1)
      // a job opened before it was known that this thread sleeps would not wake it
      const open = (Atomics.load(cells, control.claim) & control.closed) < Atomics.load(cells, control.chunks)
      if (!open && !Atomics.load(cells, control.stop)) Atomics.wait(cells, control.wake, wake)
      Atomics.sub(cells, control.sleeping, 1)
      idleSince = performance.now()
      continue
    }

    const id = Atomics.load(cells, control.kernel), run = kernels.get(id)
    if (run === undefined) {
      const address = Atomics.load(cells, control.code) >>> 0, length = Atomics.load(cells, control.codeLength)
      const { buffer } = memory
      if (address + length > buffer.byteLength) continue // this thread has not seen the memory grow yet
      const code = new Uint8Array(length)
      code.set(new Uint8Array(buffer, address, length))
      // unless the same job is still open, what was read above may belong to no job or to two
      const now = Atomics.load(cells, control.claim)
      if (now >>> 10 !== word >>> 10 || (now & control.closed) === control.closed) continue
      // instances of kernels the device has dropped are not heard of; the oldest go when there are many
      if (kernels.size >= 1024) kernels.delete(kernels.keys().next().value!)
      try {
        const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env })
        kernels.set(id, instance.exports.run as Run)
      } catch {
        kernels.set(id, null)
      }
      continue
    }
    if (run === null) continue

    const size = Atomics.load(cells, control.size), last = Atomics.load(cells, control.last)
    const from = Atomics.load(cells, control.first) + next * size
    const scratch = (Atomics.load(cells, control.scratch) >>> 0) + thread * Atomics.load(cells, control.stride)
    if (Atomics.compareExchange(cells, control.claim, word, word + 1) !== word) continue
    watch.seen = performance.now()
    watch.deadline = watch.seen + timeLimit
    watch.stills = 0
    try {
      run(control.block, scratch, from, Math.min(last, from + size))
    } catch {
      Atomics.store(cells, control.failed, watch.line < 0 ? 1 : watch.line + 2)
      watch.line = -1
    }
    Atomics.add(cells, control.helped, 1)
    Atomics.add(cells, control.done, 1)
    if (Atomics.load(cells, control.waiting)) Atomics.notify(cells, control.done)
    idleSince = performance.now()
  }
}

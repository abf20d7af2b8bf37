// What a worker thread does: claims chunks of the open job, spins a little when there is none, then sleeps.

/** Where in linear memory the threads meet: indices into an Int32Array at `address`, on cache lines of their own where it matters. */
export const control = {
  address: 1024, length: 256,
  /** job number << 10 | next chunk; `closed` as next chunk means that no job is open. */
  claim: 0, closed: 1023,
  /** chunks done, and whether the main thread sleeps on that */
  done: 16, waiting: 32,
  /** chunks that workers have run so far */
  helped: 17,
  /** workers asleep, and the word they sleep on */
  sleeping: 48, wake: 64,
  stop: 80, failed: 81,
  // the open job
  kernel: 96, code: 97, codeLength: 98, first: 99, last: 100, size: 101, chunks: 102, scratch: 103, stride: 104,
  /** Byte address of the words kernels get as `block`. */
  block: 2048,
} as const

/** What a worker is started with. */
export interface WorkerData {
  memory: WebAssembly.Memory
  /** From 1; the main thread is 0. */
  thread: number
  control: typeof control
}

type Run = (block: number, scratch: number, first: number, last: number) => void

/** The loop of a worker thread; returns when the device stops. Runs as source text in another thread, so it is self-contained. */
export function runWorker({ memory, thread, control }: WorkerData): void {
  const cells = new Int32Array(memory.buffer, control.address, control.length)
  /** Null for a kernel this thread could not load: it leaves the work to the others. */
  const kernels = new Map<number, Run | null>()
  /** How long to look for work before going to sleep, in milliseconds. */
  const patience = 0.15
  let idleSince = performance.now(), looks = 0
  const load = (cell: number): number => Atomics.load(cells, cell)

  /** Compiles the kernel of the job whose claim word is `word`, unless that job ended meanwhile and its code may be gone. */
  const prepare = (id: number, word: number): void => {
    const address = load(control.code) >>> 0, length = load(control.codeLength)
    const { buffer } = memory
    if (address + length > buffer.byteLength) return               // this thread has not seen the memory grow yet
    const code = new Uint8Array(length)
    code.set(new Uint8Array(buffer, address, length))
    // unless the same job is still open, what was read above may belong to no job or to two
    const now = load(control.claim)
    if (now >>> 10 !== word >>> 10 || (now & control.closed) === control.closed) return
    // instances of kernels the device has dropped are not heard of; the oldest go when there are many
    if (kernels.size >= 1024) kernels.delete(kernels.keys().next().value!)
    try {
      const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } })
      kernels.set(id, instance.exports.run as Run)
    } catch {
      kernels.set(id, null)
    }
  }

  while (!load(control.stop)) {
    const word = load(control.claim), next = word & control.closed
    if (next < load(control.chunks) && next !== control.closed) {
      const id = load(control.kernel)
      const run = kernels.get(id)
      if (run === undefined) prepare(id, word)
      if (!run) continue
      const size = load(control.size), last = load(control.last) >>> 0, from = (load(control.first) >>> 0) + next * size
      const scratch = (load(control.scratch) >>> 0) + thread * load(control.stride)
      if (Atomics.compareExchange(cells, control.claim, word, word + 1) !== word) continue
      try {
        run(control.block, scratch, from, Math.min(last, from + size))
      } catch {
        Atomics.store(cells, control.failed, 1)
      }
      Atomics.add(cells, control.helped, 1)
      Atomics.add(cells, control.done, 1)
      if (load(control.waiting)) Atomics.notify(cells, control.done)
      idleSince = performance.now()
      continue
    }
    if ((++looks & 63) !== 0 || performance.now() - idleSince < patience) continue
    const wake = load(control.wake)
    Atomics.add(cells, control.sleeping, 1)
    // a job opened before it was known that this thread sleeps would not wake it
    if ((load(control.claim) & control.closed) >= load(control.chunks) && !load(control.stop)) Atomics.wait(cells, control.wake, wake)
    Atomics.sub(cells, control.sleeping, 1)
    idleSince = performance.now()
  }
}

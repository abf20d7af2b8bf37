// Runs the workgroups of a dispatch on this thread and on workers.
//
// A dispatch is cut into chunks of neighbouring workgroups. All threads, this one included, claim chunks from one word
// in shared memory, `claim`: 22 bits of job number and 10 bits of next chunk. A claim is one compare-and-swap that
// succeeds only if both are still what the thread read before it read the job's parameters, so no thread ever runs a
// chunk of one job with the parameters of another. The dispatch ends when every chunk that was claimed is done: a
// thread that sleeps, starts up or still compiles the kernel has claimed nothing and delays nobody.
import type { Kernel } from './kernel.ts'
import type { LinearMemory } from './memory.ts'
import { startThread, type Thread } from './platform.ts'
import { MOST_STILL, OutOfTime, STILL, Watchdog } from './watchdog.ts'
import { control, runWorker, type WorkerData } from './worker.ts'

const CHUNK_LIMIT = control.closed - 1
/**
 * Milliseconds of work below which a dispatch stays on this thread: with workers awake, and with all of them asleep.
 */
const WORTH_SHARING = 0.02, WORTH_WAKING = 0.06
/** Milliseconds of shareable work after which workers start even though no result was asked for yet. */
const WORTH_STARTING = 20

// a device that was dropped without destroy() must not leave its threads behind
const abandoned = new FinalizationRegistry<Thread[]>((threads) => {
  for (const thread of threads) thread.stop()
})

/** The threads of one device. */
export class Scheduler {
  /** Threads that compute, this one included. */
  readonly threads: number
  private readonly memory: LinearMemory
  private readonly cells: Int32Array
  private readonly workers: Thread[] = []
  private wanted = false
  private shareable = 0
  private job = 0
  private scratch = 0
  private scratchStride = 0

  /** Ends kernels that do not end. */
  readonly watchdog: Watchdog
  private readonly whole: boolean

  /**
   * @param whole a dispatch is one call of the kernel: what a checking mode remembers lasts for that long
   * @param timeLimit most milliseconds of one call of a kernel
   */
  constructor(memory: LinearMemory, threads: number, whole = false, timeLimit = Infinity) {
    this.watchdog = new Watchdog(timeLimit)
    this.memory = memory
    this.whole = whole
    this.threads = memory.shared ? threads : 1
    this.cells = new Int32Array(memory.wasm.buffer, control.address, control.length)
    Atomics.store(this.cells, control.claim, control.closed)
    abandoned.register(this, this.workers)
  }

  /**
   * Runs `kernel` over x * y * z workgroups and returns when all are done.
   * @param bindings byte address and byte length of each binding, in the kernel's order
   * @throws WebAssembly.RuntimeError if the kernel traps, on whichever thread
   */
  run(kernel: Kernel, bindings: readonly number[], x: number, y: number, z: number): void {
    for (let next = 0; next < x * y * z;) next = this.runUntil(kernel, bindings, [x, y, z], next, Infinity)
  }

  /**
   * Runs workgroups of a dispatch from number `from` on, as many as seem to fit before `until` (of
   * `performance.now()`), at least one. Returns the number of the next.
   * @param bindings byte address and byte length of each binding, in the kernel's order
   * @throws WebAssembly.RuntimeError if the kernel traps, on whichever thread
   */
  runUntil(
    kernel: Kernel,
    bindings: readonly number[],
    [x, y, z]: readonly [number, number, number],
    from: number,
    until: number,
  ): number {
    const total = x * y * z
    if (from >= total) return total
    const words = this.memory.words
    const block = control.block >>> 2
    words[block] = x
    words[block + 1] = y
    words[block + 2] = z
    for (let i = 0; i < bindings.length; i++) words[block + 4 + i] = bindings[i]
    if (kernel.scratchBytes > this.scratchStride) this.growScratch(kernel.scratchBytes)
    const begin = performance.now(), known = kernel.millisecondsPerGroup
    this.watchdog.begin(begin)
    if (this.whole) {
      kernel.run(control.block, this.scratch, 0, total)
      return total
    }
    const fitting = until === Infinity
      ? total
      : known > 0
      ? Math.max(this.threads, Math.floor(Math.max(0, until - begin) * this.threads / known))
      : Math.max(1, total >>> 5)
    const end = Math.min(total, from + fitting)
    if (this.threads === 1) {
      // a new kernel in parts: only the next call runs what the optimising tier has made
      const parts = kernel.calls < 64 ? Math.min(end - from, 16) : 1, count = end - from
      kernel.calls += parts
      for (let part = 0; part < parts; part++) {
        const first = from + Math.floor(count * part / parts), last = from + Math.floor(count * (part + 1) / parts)
        kernel.run(control.block, this.scratch, first, last)
      }
      kernel.millisecondsPerGroup = (performance.now() - begin) / count
    } else this.runTogether(kernel, from, end, begin)
    return end
  }

  /** Workgroups `from`..`end - 1`, with the workers if that is worth it. */
  private runTogether(kernel: Kernel, from: number, end: number, begin: number): void {
    const { run } = kernel, count = end - from
    // a kernel never timed, or one whose cost may have changed with its parameters, shows by a few workgroups what it
    // costs now
    const known = kernel.millisecondsPerGroup * count
    const first = known > WORTH_WAKING * 4 ? 0 : Math.max(1, count >>> 3)
    let rest = known
    if (first > 0) {
      run(control.block, this.scratch, from, from + first)
      const perGroup = (performance.now() - begin) / first
      kernel.millisecondsPerGroup = perGroup
      if (first === count) return
      rest = perGroup * (count - first)
    }
    const asleep = this.workers.length === 0 || Atomics.load(this.cells, control.sleeping) >= this.workers.length
    if (rest < (asleep ? WORTH_WAKING : WORTH_SHARING)) run(control.block, this.scratch, from + first, end)
    else this.share(kernel, from + first, end, rest)
  }

  /** Called when a result has been read: from now on start-up of threads delays no first answer. */
  resultRead(): void {
    if (this.shareable > 0) this.start()
    else this.wanted = true
  }

  /** Ends the workers. Nothing may run afterwards. */
  stop(): void {
    if (this.workers.length === 0) return // and without workers the memory may be unshared, its first view outdated
    Atomics.store(this.cells, control.stop, 1)
    Atomics.add(this.cells, control.wake, 1)
    Atomics.notify(this.cells, control.wake)
    for (const worker of this.workers.splice(0)) worker.stop()
  }

  /** Chunks of work that workers have run so far; 0 while nothing was worth sharing. */
  get helped(): number {
    return this.threads > 1 ? Atomics.load(this.cells, control.helped) : 0
  }

  private share(kernel: Kernel, first: number, total: number, expected: number): void {
    const { cells } = this
    this.shareable += expected
    if (this.workers.length === 0 && (this.wanted || this.shareable > WORTH_STARTING)) this.start()
    // chunks of at least 10 us, and enough of them that a thread the system interrupts leaves little for the others to
    // wait for
    const count = total - first
    const chunks = Math.max(2, Math.min(count, CHUNK_LIMIT, this.threads * 16, Math.ceil(expected / 0.01)))
    const size = Math.ceil(count / chunks)
    const chunkCount = Math.ceil(count / size)
    Atomics.store(cells, control.kernel, kernel.id)
    Atomics.store(cells, control.code, kernel.address)
    Atomics.store(cells, control.codeLength, kernel.byteLength)
    Atomics.store(cells, control.first, first)
    Atomics.store(cells, control.last, total)
    Atomics.store(cells, control.size, size)
    Atomics.store(cells, control.chunks, chunkCount)
    Atomics.store(cells, control.scratch, this.scratch)
    Atomics.store(cells, control.stride, this.scratchStride)
    Atomics.store(cells, control.done, 0)
    this.job = (this.job + 1) & 0x3fffff
    Atomics.store(cells, control.claim, this.job << 10)
    if (Atomics.load(cells, control.sleeping) > 0) {
      Atomics.add(cells, control.wake, 1)
      Atomics.notify(cells, control.wake, chunkCount - 1)
    }
    let mine = 0, problem: unknown
    const begin = performance.now()
    try {
      for (;;) {
        const word = Atomics.load(cells, control.claim), next = word & control.closed
        if (next >= chunkCount) break
        if (Atomics.compareExchange(cells, control.claim, word, word + 1) !== word) continue
        const from = first + next * size
        try {
          kernel.run(control.block, this.scratch, from, Math.min(total, from + size))
        } finally {
          Atomics.add(cells, control.done, 1)
        }
        mine++
      }
    } catch (error) {
      problem = error
      // no thread shall begin another chunk; those that were claimed are waited for
      const word = Atomics.exchange(cells, control.claim, (this.job << 10) | control.closed)
      this.finish(word & control.closed)
    }
    if (problem === undefined) {
      if (mine > 0) kernel.millisecondsPerGroup = (performance.now() - begin) / (mine * size)
      this.finish(chunkCount)
      Atomics.store(cells, control.claim, (this.job << 10) | control.closed)
    }
    const failed = Atomics.exchange(cells, control.failed, 0)
    if (failed && problem === undefined) {
      // the message stays in the other thread; the same workgroups trap here too, unless what they read has changed
      // meanwhile
      if (failed > 1) throw new OutOfTime(failed - 2, this.watchdog.limit)
      throw new WebAssembly.RuntimeError(`the kernel trapped on a worker thread`)
    }
    if (problem !== undefined) throw problem
  }

  /**
   * Waits until `claimed` chunks are done: briefly in a loop, then asleep, so that a worker without a core gets this
   * one's.
   */
  private finish(claimed: number): void {
    const { cells } = this
    for (let spin = 0; spin < 4000; spin++) if (Atomics.load(cells, control.done) >= claimed) return
    Atomics.store(cells, control.waiting, 1)
    for (;;) {
      const done = Atomics.load(cells, control.done)
      if (done >= claimed) break
      Atomics.wait(cells, control.done, done, 10)
    }
    Atomics.store(cells, control.waiting, 0)
  }

  private growScratch(bytes: number): void {
    if (this.scratch) this.memory.free(this.scratch, this.scratchStride * this.threads)
    const stride = Math.ceil(bytes / 64) * 64 + 64
    const address = this.memory.allocate(stride * this.threads)
    if (address === undefined) {
      this.scratch = this.scratchStride = 0
      throw new WebAssembly.RuntimeError(
        `no memory for ${stride * this.threads} bytes of workgroup and scratch variables`,
      )
    }
    this.scratch = address
    this.scratchStride = stride
  }

  private start(): void {
    if (this.workers.length > 0) return
    for (let thread = 1; thread < this.threads; thread++) {
      const { limit: timeLimit } = this.watchdog
      const data: WorkerData = {
        memory: this.memory.wasm,
        thread,
        control,
        timeLimit,
        still: STILL * timeLimit,
        mostStill: MOST_STILL,
      }
      this.workers.push(startThread(runWorker, data))
    }
  }
}

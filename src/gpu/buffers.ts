// The buffer pool. Of the free buffers of a size the oldest is handed out first: steps that allocate and free in the
// same order then get the same buffers each time, whatever order they were freed in, and bind groups cached by buffer
// stop being created after the second step. The queue is ordered, so a freed buffer may be reused at once.
import { DeviceError, type EspalierError } from '../base/errors.ts'
import type { Failures } from './failures.ts'

/** A device buffer with an identity that cache keys can use. `bytes` is its capacity, at least what was asked for. */
export interface Buffer {
  readonly gpu: GPUBuffer
  readonly id: number
  readonly bytes: number
  /** The pool's count of acquisitions when it came back last. */
  idleSince: number
  /** How often it was written, by launches and from the host: what was made of its content can tell. */
  version: number
  /** Why its content cannot be used: the kernel that should have written it does not compile, say. */
  failure: EspalierError | null
  /** The device had no memory for it after all. */
  lost: boolean
  /** Whether the device has said that it exists. */
  checked: boolean
}

/**
 * Bytes on the device: held by live tensors, allocated in all (live and pooled), the greatest `allocated` so far, and
 * the number of buffers ever created.
 */
export interface Memory {
  live: number
  allocated: number
  peak: number
  created: number
}

// STORAGE | COPY_DST | COPY_SRC, spelled out because GPUBufferUsage is absent before init
const usage = 0x80 | 0x8 | 0x4

// Acquisitions after which an idle buffer is stale. A training step of a large network makes a few thousand.
const patience = 10_000

// Sizes with a list of free buffers, beyond which the empty ones are cleared away.
const mostSizes = 1024

let nextId = 1

/** Rounds a byte count up to its size class: eight classes per doubling, so at most an eighth is wasted. */
export function sizeClass(bytes: number): number {
  if (bytes <= 4096) return Math.ceil(Math.max(bytes, 1) / 256) * 256 // the usual case, in less time
  const least = bytes
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(least)) - 3))
  return Math.ceil(least / step) * step
}

const givers = new Set<(pool: Pool) => void>()

/** Has `give` called when memory of a pool runs out: it releases what can be made again. */
export function whenFull(give: (pool: Pool) => void): void {
  givers.add(give)
}

/**
 * Hands out and takes back storage buffers of one device. A capture keeps a pool of its own, whose buffers stay put.
 */
export class Pool {
  private readonly free = new Map<number, Buffer[]>()
  private readonly device: GPUDevice
  private readonly exact: boolean
  private readonly retire: (buffers: ReadonlySet<Buffer>) => void
  private readonly failures: Failures | null
  private readonly reclaim: () => void
  private closed = false
  private acquired = 0
  readonly memory: Memory

  /**
   * `exact`: no buffer is rounded up to a size class, so that the embedded device's bounds mode sees an index past a
   * tensor's end. `retire` is called with buffers that are about to be destroyed: it submits what still uses them and
   * forgets what was cached by them. `failures` is told of allocations whose outcome the device says later. `reclaim`
   * frees what others keep for reuse.
   */
  constructor(
    device: GPUDevice,
    {
      memory = { live: 0, allocated: 0, peak: 0, created: 0 },
      exact = false,
      retire = () => undefined,
      failures = null,
      reclaim = () => undefined,
    }: {
      memory?: Memory,
      exact?: boolean,
      retire?: (buffers: ReadonlySet<Buffer>) => void,
      failures?: Failures | null,
      reclaim?: () => void,
    } = {},
  ) {
    this.device = device
    this.failures = failures
    this.reclaim = reclaim
    this.exact = exact
    this.memory = memory
    this.retire = retire
  }

  /**
   * A buffer of at least `bytes` bytes with undefined content. `exact` ones (weights) are not rounded up to a size
   * class.
   * @throws DeviceError if the device's limits do not allow the size, or its memory is full even without the idle
   * buffers. Drivers that say so later only mark the buffer, and reading what depends on it throws.
   */
  acquire(bytes: number, exact = false): Buffer {
    const limit = Math.min(this.device.limits.maxBufferSize, this.device.limits.maxStorageBufferBindingSize)
    const rounded = exact || this.exact ? Math.max(16, Math.ceil(bytes / 16) * 16) : sizeClass(bytes)
    // The last class ends at the limit, which need not be a multiple of anything but 4; a buffer is put back under the
    // size it was made with.
    const size = Math.min(rounded, Math.floor(limit / 4) * 4)
    if (bytes > limit) {
      throw new DeviceError(
        `allocating ${bytes} bytes: this adapter binds at most ${limit} bytes at once; `
          + 'use a smaller batch or split the tensor',
      )
    }
    this.acquired++
    const buffer = this.free.get(size)?.pop() ?? this.create(size)
    this.memory.live += buffer.bytes
    this.failures?.renewed(buffer)
    return buffer
  }

  /** Takes a buffer back for reuse. The caller gives up every reference to it. */
  release(buffer: Buffer): void {
    if (buffer.lost) return // it was taken off the books when that was known
    this.memory.live -= buffer.bytes
    if (this.closed) {
      this.destroy(new Set([buffer]))
      return
    }
    buffer.idleSince = this.acquired
    const list = this.free.get(buffer.bytes)
    if (!list) {
      this.free.set(buffer.bytes, [buffer])
      return
    }
    let at = list.length // oldest last, where pop() takes it
    while (at > 0 && list[at - 1].id < buffer.id) at--
    list.splice(at, 0, buffer)
  }

  /**
   * Destroys every pooled buffer that nobody holds, after submitting the launches that still use them; returns the
   * bytes given back to the device.
   */
  trim(): number {
    const idle = new Set([...this.free.values()].flat())
    this.free.clear()
    return this.destroy(idle)
  }

  /** Trims, and from here on destroys each buffer that comes back. */
  close(): void {
    this.closed = true
    this.trim()
  }

  private destroy(buffers: ReadonlySet<Buffer>): number {
    if (buffers.size === 0) return 0
    this.retire(buffers)
    let bytes = 0
    for (const buffer of buffers) {
      buffer.gpu.destroy()
      bytes += buffer.bytes
    }
    this.memory.allocated -= bytes
    return bytes
  }

  /** Gives back buffers of sizes that nobody asks for any more: those of a smaller network that was tried and freed. */
  private dropStale(): void {
    // Weights of many small networks have ever new sizes, and each would leave an empty list behind.
    if (this.free.size > mostSizes) {
      for (const [size, list] of this.free) if (list.length === 0) this.free.delete(size)
    }
    const old = (buffer: Buffer) => this.acquired - buffer.idleSince > patience
    const stale = new Set([...this.free.values()].flatMap((list) => list.filter(old)))
    const bytes = [...stale].reduce((sum, buffer) => sum + buffer.bytes, 0)
    if (bytes < this.memory.allocated / 16) return
    for (const [size, list] of this.free) {
      const rest = list.filter((buffer) => !stale.has(buffer))
      if (rest.length > 0) this.free.set(size, rest)
      else this.free.delete(size)
    }
    this.destroy(stale)
  }

  private create(size: number): Buffer {
    this.dropStale()
    let made = this.allocate(size)
    if (made.sound === false) {
      this.makeRoom()
      made = this.allocate(size)
      if (made.sound === false) throw this.full(size)
    }
    this.memory.allocated += size
    this.memory.peak = Math.max(this.memory.peak, this.memory.allocated)
    this.memory.created++
    const { gpu, sound } = made
    const buffer: Buffer = {
      gpu,
      id: nextId++,
      bytes: size,
      idleSince: 0,
      version: 0,
      failure: null,
      lost: false,
      checked: sound === true,
    }
    if (!buffer.checked) {
      this.failures?.watch(made.error.then((error) => {
        buffer.checked = error === null
        return error ? this.lose(buffer) : null
      }))
    }
    return buffer
  }

  /** A new buffer; `sound` where the device says at once whether it exists, as the embedded one does. */
  private allocate(size: number): { gpu: GPUBuffer, sound: boolean | undefined, error: Promise<GPUError | null> } {
    this.device.pushErrorScope('validation')
    this.device.pushErrorScope('out-of-memory')
    const gpu = this.device.createBuffer({ size, usage })
    const scopes = [this.device.popErrorScope(), this.device.popErrorScope()]
    const error = Promise.all(scopes).then((found) => found.find((each) => each !== null) ?? null)
    const { valid: sound } = gpu as { valid?: boolean }
    if (sound !== undefined) error.catch(() => undefined) // a device that is lost meanwhile says so itself
    return { gpu, sound, error }
  }

  /** Takes a buffer that was never there off the books, and makes room for what comes after it. */
  private lose(buffer: Buffer): DeviceError {
    const idle = this.free.get(buffer.bytes), at = idle?.indexOf(buffer) ?? -1
    if (at >= 0) idle!.splice(at, 1)
    else this.memory.live -= buffer.bytes
    this.memory.allocated -= buffer.bytes
    buffer.lost = true
    const error = this.full(buffer.bytes)
    buffer.failure = error
    this.retire(new Set([buffer]))
    buffer.gpu.destroy()
    this.makeRoom()
    return error
  }

  private makeRoom(): void {
    for (const give of givers) give(this)
    this.trim()
    this.reclaim()
  }

  private full(bytes: number): DeviceError {
    const { live, allocated } = this.memory
    return new DeviceError(
      `allocating ${bytes} bytes: the device has no memory left for them; `
        + `tensors hold ${live} bytes and buffers kept for `
        + `reuse ${allocated - live}; free what is not needed, or use a smaller batch`,
    )
  }
}

// The buffer pool. Of the free buffers of a size the oldest is handed out first: steps that allocate and free in the
// same order then get the same buffers each time, whatever order they were freed in, and bind groups cached by buffer
// stop being created after the second step. The queue is ordered, so a freed buffer may be reused at once.
import { DeviceError } from '../base/errors.ts'

/** A device buffer with an identity that cache keys can use. `bytes` is its capacity, at least what was asked for. */
export interface Buffer {
  readonly gpu: GPUBuffer
  readonly id: number
  readonly bytes: number
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

let nextId = 1

/** Rounds a byte count up to its size class: eight classes per doubling, so at most an eighth is wasted. */
export function sizeClass(bytes: number): number {
  if (bytes <= 4096) return Math.ceil(Math.max(bytes, 1) / 256) * 256 // the usual case, in less time
  const least = bytes
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(least)) - 3))
  return Math.ceil(least / step) * step
}

/**
 * Hands out and takes back storage buffers of one device. A capture keeps a pool of its own, whose buffers stay put.
 */
export class Pool {
  private readonly free = new Map<number, Buffer[]>()
  private readonly device: GPUDevice
  private readonly exact: boolean
  readonly memory: Memory

  /**
   * `exact`: no buffer is rounded up to a size class, so that the embedded device's bounds mode sees an index past a
   * tensor's end.
   */
  constructor(
    device: GPUDevice,
    { memory = { live: 0, allocated: 0, peak: 0, created: 0 }, exact = false }: { memory?: Memory, exact?: boolean } =
      {},
  ) {
    this.device = device
    this.exact = exact
    this.memory = memory
  }

  /**
   * A buffer of at least `bytes` bytes with undefined content. `exact` ones (weights) are not rounded up to a size
   * class.
   * @throws DeviceError if the device's limits do not allow the size.
   */
  acquire(bytes: number, exact = false): Buffer {
    const size = exact || this.exact ? Math.max(16, Math.ceil(bytes / 16) * 16) : sizeClass(bytes)
    const limit = Math.min(this.device.limits.maxBufferSize, this.device.limits.maxStorageBufferBindingSize)
    if (bytes > limit) {
      throw new DeviceError(
        `allocating ${bytes} bytes: this adapter binds at most ${limit} bytes at once; use a smaller batch or split the tensor`,
      )
    }
    const reused = this.free.get(size)?.pop()
    const buffer = reused ?? this.create(Math.min(size, Math.floor(limit / 16) * 16))
    this.memory.live += buffer.bytes
    return buffer
  }

  /** Takes a buffer back for reuse. The caller gives up every reference to it. */
  release(buffer: Buffer): void {
    this.memory.live -= buffer.bytes
    const list = this.free.get(buffer.bytes)
    if (!list) {
      this.free.set(buffer.bytes, [buffer])
      return
    }
    let at = list.length // oldest last, where pop() takes it
    while (at > 0 && list[at - 1].id < buffer.id) at--
    list.splice(at, 0, buffer)
  }

  /** Destroys every pooled buffer that nobody holds; returns the bytes given back to the device. */
  trim(): number {
    let bytes = 0
    for (const list of this.free.values()) {
      for (const buffer of list) {
        buffer.gpu.destroy()
        bytes += buffer.bytes
      }
    }
    this.free.clear()
    this.memory.allocated -= bytes
    return bytes
  }

  private create(size: number): Buffer {
    const gpu = this.device.createBuffer({ size, usage })
    this.memory.allocated += size
    this.memory.peak = Math.max(this.memory.peak, this.memory.allocated)
    this.memory.created++
    return { gpu, id: nextId++, bytes: size }
  }
}

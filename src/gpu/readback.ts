// The one await on the way out. Nothing is handed out before every check on the way there has passed.
import { DeviceError, DeviceLostError } from '../base/errors.ts'
import { type Buffer, type Pool, sizeClass } from './buffers.ts'
import type { Failures } from './failures.ts'
import type { Launches } from './launches.ts'

/** Copies device buffers to the host through a few reused staging buffers. */
export class Readback {
  private readonly device: GPUDevice
  private readonly launches: Launches
  private readonly pool: Pool
  private readonly failures: Failures
  private readonly takesRanges: boolean
  private readonly free = new Map<number, Staging[]>()

  /**
   * `takesRanges`: whether mapped ranges may be transferred, which the embedded device allows and browsers and dawn do
   * not.
   */
  constructor(device: GPUDevice, launches: Launches, pool: Pool, failures: Failures, takesRanges: boolean) {
    this.pool = pool
    this.takesRanges = takesRanges
    this.device = device
    this.launches = launches
    this.failures = failures
  }

  /**
   * The first `bytes` bytes of a buffer, after everything launched so far.
   * @throws the error of what they were computed with, if there was one: a failed kernel leaves zeros, which must not
   * get out. DeviceError where there is no memory to read them into; what is final for the device.
   */
  async read(buffer: Buffer, bytes: number): Promise<ArrayBuffer> {
    this.failures.throwIfAny()
    const reading = this.failures.reading(buffer)
    this.launches.flush()
    const size = sizeClass(bytes)
    const staging = this.free.get(size)?.pop() ?? this.create(size)
    try {
      await this.launches.copy(buffer, staging, Math.ceil(bytes / 4) * 4)
    } catch (error) {
      await this.failures.settle()
      if (reading.failure) throw reading.failure
      if (staging.lost) throw noRoom(bytes)
      throw new DeviceLostError(`reading back ${bytes} bytes failed: ${String(error)}`, { cause: error })
    }
    const range = staging.gpu.getMappedRange(0, Math.ceil(bytes / 4) * 4)
    const copy = this.takesRanges && range.byteLength === bytes
      ? structuredClone(range, { transfer: [range] })
      : range.slice(0, bytes)
    staging.gpu.unmap()
    const list = this.free.get(size)
    if (!list) this.free.set(size, [staging])
    else if (list.length < 4) list.push(staging)
    else staging.gpu.destroy()
    await this.failures.settle()
    if (reading.failure) throw reading.failure
    return copy
  }

  /** Destroys the idle staging buffers. */
  trim(): void {
    for (const list of this.free.values()) for (const { gpu } of list) gpu.destroy()
    this.free.clear()
  }

  private create(size: number): Staging {
    const first = this.allocate(size)
    if (first) return first
    this.pool.trim()
    this.trim()
    const second = this.allocate(size)
    if (!second) throw noRoom(size)
    return second
  }

  /** A staging buffer; null where the device says at once that there is none. */
  private allocate(size: number): Staging | null {
    const { device } = this
    device.pushErrorScope('validation')
    device.pushErrorScope('out-of-memory')
    const gpu = device.createBuffer({ size, usage: 0x1 | 0x8, label: 'read-back' }) // MAP_READ | COPY_DST
    const scopes = Promise.all([device.popErrorScope(), device.popErrorScope()])
    const staging: Staging = { gpu, lost: false }
    const { valid } = gpu as { valid?: boolean } // where the device says so at once, as the embedded one does
    if (valid !== undefined) scopes.catch(() => undefined) // a device that is lost meanwhile says so itself
    if (valid === false) return null
    if (valid === undefined) {
      this.failures.watch(scopes.then((errors) => {
        staging.lost = errors.some((error) => error !== null)
        return staging.lost ? noRoom(size) : null
      }))
    }
    return staging
  }
}

interface Staging {
  readonly gpu: GPUBuffer
  lost: boolean
}

function noRoom(bytes: number): DeviceError {
  return new DeviceError(`reading back ${bytes} bytes: no memory left for a copy of them; free what is not needed`)
}

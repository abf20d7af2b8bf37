// The one await on the way out. Nothing is handed out before every check on the way there has passed.
import { DeviceLostError } from '../base/errors.ts'
import { type Buffer, sizeClass } from './buffers.ts'
import type { Failures } from './failures.ts'
import type { Launches } from './launches.ts'

/** Copies device buffers to the host through a few reused staging buffers. */
export class Readback {
  private readonly device: GPUDevice
  private readonly launches: Launches
  private readonly failures: Failures
  private readonly takesRanges: boolean
  private readonly free = new Map<number, GPUBuffer[]>()

  /**
   * `takesRanges`: whether mapped ranges may be transferred, which the embedded device allows and browsers and dawn do
   * not.
   */
  constructor(device: GPUDevice, launches: Launches, failures: Failures, takesRanges: boolean) {
    this.takesRanges = takesRanges
    this.device = device
    this.launches = launches
    this.failures = failures
  }

  /**
   * The first `bytes` bytes of a buffer, after everything launched so far.
   * @throws the first error of the device, if there was any: a failed kernel leaves zeros, which must not get out.
   */
  async read(buffer: Buffer, bytes: number): Promise<ArrayBuffer> {
    this.launches.flush()
    const size = sizeClass(bytes)
    const staging = this.free.get(size)?.pop()
      ?? this.device.createBuffer({ size, usage: 0x1 | 0x8, label: 'read-back' }) // MAP_READ | COPY_DST
    const encoder = this.device.createCommandEncoder()
    encoder.copyBufferToBuffer(buffer.gpu, 0, staging, 0, Math.ceil(bytes / 4) * 4)
    this.device.queue.submit([encoder.finish()])
    try {
      await staging.mapAsync(0x1)
    } catch (error) {
      await this.failures.settle()
      throw new DeviceLostError(`reading back ${bytes} bytes failed: ${String(error)}`, { cause: error })
    }
    const range = staging.getMappedRange(0, Math.ceil(bytes / 4) * 4)
    const copy = this.takesRanges && range.byteLength === bytes
      ? structuredClone(range, { transfer: [range] })
      : range.slice(0, bytes)
    staging.unmap()
    const list = this.free.get(size)
    if (!list) this.free.set(size, [staging])
    else if (list.length < 4) list.push(staging)
    else staging.destroy()
    await this.failures.settle()
    return copy
  }
}

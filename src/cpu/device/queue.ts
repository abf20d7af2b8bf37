// The queue. `submit` executes at once, on this thread and the workers, and returns when the work is done: the calling
// thread is one of those that compute, so nothing is gained by returning earlier, and no command needs a copy of what
// it was given.
import { CpuBuffer } from './buffer.ts'
import { DeviceObject } from '../runtime/core.ts'
import { CpuCommandBuffer, needs } from './encoder.ts'
import { operationError, refuse } from '../runtime/errors.ts'
import { usage } from './flags.ts'
import { inside, instance, multiple, size64, usable } from './validation.ts'

/** The device's only queue. */
export class CpuQueue extends DeviceObject implements GPUQueue {
  declare readonly __brand: 'GPUQueue'
  readonly kind = 'Queue'

  submit(commandBuffers: Iterable<GPUCommandBuffer>): undefined {
    const list = [...commandBuffers].map((buffer) => instance(buffer, CpuCommandBuffer, 'submit: a command buffer'))
    const { core } = this
    const allowed = core.attempt('submit', () => {
      list.forEach((buffer, i) => {
        usable(core, buffer)
        if (buffer.submitted || list.indexOf(buffer) < i) refuse(`${buffer} was submitted before`)
        for (const resource of buffer.resources) resource.checkSubmit()
      })
    })
    for (const buffer of list) buffer.submitted = true
    if (!allowed || core.lost) return
    for (const buffer of list) for (const command of buffer.commands) command.execute(core)
    for (const finding of core.reports.take()) {
      core.findings.push(finding)
      core.errors.validation(finding.message + (finding.count > 1 ? ` (${finding.count} times)` : ''))
    }
  }

  writeBuffer(
    buffer: GPUBuffer,
    bufferOffset: number,
    data: GPUAllowSharedBufferSource,
    dataOffset: number = 0,
    size?: number,
  ): undefined {
    const target = instance(buffer, CpuBuffer, 'writeBuffer: buffer')
    const offset = size64(bufferOffset, 'writeBuffer: bufferOffset'),
      skip = size64(dataOffset, 'writeBuffer: dataOffset')
    const view = ArrayBuffer.isView(data)
    const unit = view && 'BYTES_PER_ELEMENT' in data ? (data as Uint8Array).BYTES_PER_ELEMENT : 1
    const whole = new Uint8Array(view ? data.buffer : data, view ? data.byteOffset : 0, data.byteLength)
    const start = skip * unit,
      end = size === undefined ? whole.length : start + size64(size, 'writeBuffer: size') * unit
    if (start > end || end > whole.length) {
      throw operationError(`writeBuffer: bytes ${start}..${end} are not all in the data, which has ${whole.length}`)
    }
    if ((end - start) % 4 !== 0) throw operationError(`writeBuffer: ${end - start} bytes are no multiple of 4`)
    const { core } = this
    core.attempt(`writeBuffer to ${target}`, () => {
      usable(core, target)
      needs(target, usage.COPY_DST)
      multiple(offset, 4, 'bufferOffset')
      inside(offset, end - start, target.size, `${target}`)
      target.checkSubmit()
      if (!core.lost) {
        core.memory.bytes.set(
          start === 0 && end === whole.length ? whole : whole.subarray(start, end),
          target.address + offset,
        )
      }
    })
  }

  onSubmittedWorkDone(): Promise<undefined> {
    return this.core.later(() => {
      this.core.scheduler.resultRead()
    }) as Promise<undefined>
  }

  declare writeTexture: GPUQueue['writeTexture']
  declare copyExternalImageToTexture: GPUQueue['copyExternalImageToTexture']
}

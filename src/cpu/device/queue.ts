// The queue. `submit` executes at once what fits into a few milliseconds, on this thread and the workers: the calling
// thread is one of those that compute. The rest goes on in later turns of the event loop (runtime/work.ts), in order;
// what is given meanwhile waits its turn.
import { CpuBuffer } from './buffer.ts'
import type { Command, Progress } from './commands.ts'
import { DeviceObject, type Core } from '../runtime/core.ts'
import { CpuCommandBuffer, needs } from './encoder.ts'
import { operationError, refuse } from '../runtime/errors.ts'
import { usage } from './flags.ts'
import type { Step } from '../runtime/work.ts'
import { inside, instance, multiple, size64, usable } from './validation.ts'

/**
 * The commands of one command buffer as a step of the device's work; findings of debug modes become errors after it.
 */
function stepsOf(core: Core, commands: readonly Command[]): Step {
  const progress: Progress = { until: 0, next: 0 }
  let at = 0
  return (until) => {
    progress.until = until
    while (at < commands.length) {
      if (!commands[at].execute(core, progress)) return false
      at++
      progress.next = 0
      if (until !== Infinity && at < commands.length && performance.now() >= until) return false
    }
    for (const finding of core.reports.take()) {
      core.findings.push(finding)
      core.errors.validation(finding.message + (finding.count > 1 ? ` (${finding.count} times)` : ''))
    }
    return true
  }
}

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
    for (const { commands } of list) core.work.add(core.errors.bind(stepsOf(core, commands)))
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
      if (core.lost) return
      const { address } = target, part = start === 0 && end === whole.length ? whole : whole.subarray(start, end)
      // the caller may change its data, or let the buffer go, before the work that comes first is done
      const bytes = core.work.idle ? part : part.slice()
      core.afterWork(() => core.memory.bytes.set(bytes, address + offset))
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

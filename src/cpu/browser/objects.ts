// What a page holds instead of the worker's objects: numbers that calls name, with what is known of them here.
import { checkMappedRange, detach, type Mapping } from '../device/buffer.ts'
import { mapMode } from '../device/flags.ts'
import { operationError } from '../runtime/errors.ts'
import { type Connection, Remote } from './connection.ts'
import { passCall } from './protocol.ts'

/** A buffer: size, usage and mapped bytes are known here. */
export class RemoteBuffer extends Remote {
  readonly size: number
  readonly usage: number
  private mapping: Mapping | null = null
  private whole: ArrayBuffer | null = null
  private pending: { reject: (error: DOMException) => void } | null = null

  constructor(connection: Connection, descriptor: GPUBufferDescriptor) {
    super(connection, descriptor.label)
    this.size = descriptor.size
    this.usage = descriptor.usage
    if (!descriptor.mappedAtCreation) return
    this.whole = new ArrayBuffer(this.size)
    this.mapping = { mode: mapMode.WRITE, offset: 0, size: this.size, ranges: [] }
  }

  get mapState(): GPUBufferMapState {
    return this.mapping ? 'mapped' : this.pending ? 'pending' : 'unmapped'
  }

  async mapAsync(mode: number, offset: number = 0, size: number = Math.max(0, this.size - offset)): Promise<undefined> {
    if (this.pending) throw operationError(`mapAsync: [Buffer "${this.label}"] already has an outstanding mapping`)
    const cancelled = new Promise<never>((_, reject) => {
      this.pending = { reject }
    })
    const request = this.pending
    try {
      const whole = await Promise.race([
        this.connection.ask<ArrayBuffer>(this.number, 'mapAsync', [mode, offset, size]),
        cancelled,
      ])
      this.whole = whole
      this.mapping = { mode, offset, size, ranges: [] }
    } finally {
      if (this.pending === request) this.pending = null
    }
  }

  getMappedRange(offset: number = 0, size: number = Math.max(0, this.size - offset)): ArrayBuffer {
    const { mapping, whole } = this
    checkMappedRange(`[Buffer "${this.label}"]`, mapping, offset, size)
    const start = offset - mapping.offset
    const data = start === 0 && size === whole!.byteLength ? whole! : whole!.slice(start, start + size)
    mapping.ranges.push({ offset, data })
    return data
  }

  unmap(): undefined {
    this.cancel()
    const { mapping } = this
    this.mapping = null
    this.whole = null
    if (mapping?.mode === mapMode.WRITE) {
      this.connection.call(
        this.number,
        'unmapWith',
        [mapping.ranges],
        undefined,
        mapping.ranges.map(({ data }) => data),
      )
      this.connection.flush()
    } else {
      this.send('unmap')
      for (const { data } of mapping?.ranges ?? []) detach(data)
    }
  }

  destroy(): undefined {
    this.cancel()
    for (const { data } of this.mapping?.ranges ?? []) detach(data)
    this.mapping = null
    this.whole = null
    this.send('destroy')
  }

  private cancel(): void {
    this.pending?.reject(
      new DOMException(`mapAsync: [Buffer "${this.label}"] was unmapped before it was mapped`, 'AbortError'),
    )
    this.pending = null
  }
}

/** A shader module. */
export class RemoteShaderModule extends Remote {
  async getCompilationInfo(): Promise<GPUCompilationInfo> {
    return {
      messages: await this.connection.ask<GPUCompilationMessage[]>(this.number, 'getCompilationInfo', []),
    } as unknown as GPUCompilationInfo
  }
}

/** A compute pipeline. */
export class RemotePipeline extends Remote {
  getBindGroupLayout(index: number): GPUBindGroupLayout {
    return this.make(new Remote(this.connection, ''), 'getBindGroupLayout', index)
  }
}

/** A query set. */
export class RemoteQuerySet extends Remote {
  readonly type: GPUQueryType
  readonly count: number
  constructor(connection: Connection, descriptor: GPUQuerySetDescriptor) {
    super(connection, descriptor.label)
    this.type = descriptor.type
    this.count = descriptor.count
  }
  destroy(): undefined {
    this.send('destroy')
  }
}

/**
 * Records a whole pass as numbers and sends them when it ends: a message per call would cost more than most dispatches.
 */
class RemotePass extends Remote {
  private record: number[] = []
  /** Keeps what the record mentions from being collected before it is sent. */
  private held: unknown[] = []

  setPipeline(pipeline: GPUComputePipeline): undefined {
    this.record.push(passCall.setPipeline, this.hold(pipeline))
  }

  setBindGroup(
    index: number,
    group: GPUBindGroup | null,
    offsets?: Iterable<number> | Uint32Array,
    start?: number,
    length?: number,
  ): undefined {
    const list = !offsets
      ? []
      : start === undefined
      ? [...offsets]
      : [...(offsets as Uint32Array).subarray(start, start + (length ?? 0))]
    this.record.push(passCall.setBindGroup, index, group ? this.hold(group) : 0, list.length, ...list)
  }

  dispatchWorkgroups(x: number, y: number = 1, z: number = 1): undefined {
    this.record.push(passCall.dispatch, x, y, z)
  }

  dispatchWorkgroupsIndirect(buffer: GPUBuffer, offset: number): undefined {
    this.record.push(passCall.indirect, this.hold(buffer), offset)
  }

  end(): undefined {
    const data = Float64Array.from(this.record)
    this.connection.call(this.number, 'replay', [data], undefined, [data.buffer])
    this.send('end')
    this.record = []
    this.held = []
  }

  pushDebugGroup(): undefined {/* shown nowhere */}
  popDebugGroup(): undefined {/* shown nowhere */}
  insertDebugMarker(): undefined {/* shown nowhere */}

  private hold(object: unknown): number {
    this.held.push(object)
    return (object as Remote).number
  }
}

/** A command encoder. */
export class RemoteEncoder extends Remote {
  beginComputePass(descriptor?: GPUComputePassDescriptor): GPUComputePassEncoder {
    return this.make(new RemotePass(this.connection, descriptor?.label), 'beginComputePass', descriptor)
  }
  copyBufferToBuffer(...args: unknown[]): undefined {
    this.send('copyBufferToBuffer', ...args)
  }
  clearBuffer(buffer: GPUBuffer, offset?: number, size?: number): undefined {
    this.send('clearBuffer', buffer, offset, size)
  }
  resolveQuerySet(...args: unknown[]): undefined {
    this.send('resolveQuerySet', ...args)
  }
  finish(descriptor?: GPUCommandBufferDescriptor): GPUCommandBuffer {
    return this.make(new Remote(this.connection, descriptor?.label), 'finish', descriptor)
  }
  pushDebugGroup(): undefined {/* shown nowhere */}
  popDebugGroup(): undefined {/* shown nowhere */}
  insertDebugMarker(): undefined {/* shown nowhere */}
}

/** The queue of a device. */
export class RemoteQueue extends Remote {
  submit(commandBuffers: Iterable<GPUCommandBuffer>): undefined {
    this.send('submit', commandBuffers)
    this.connection.flush()
  }

  writeBuffer(
    buffer: GPUBuffer,
    bufferOffset: number,
    data: GPUAllowSharedBufferSource,
    dataOffset: number = 0,
    size?: number,
  ): undefined {
    const view = ArrayBuffer.isView(data)
    const unit = view && 'BYTES_PER_ELEMENT' in data ? (data as Uint8Array).BYTES_PER_ELEMENT : 1
    const start = dataOffset * unit, end = size === undefined ? data.byteLength : start + size * unit
    if (start > end || end > data.byteLength) {
      throw operationError(`writeBuffer: bytes ${start}..${end} are not all in the data, which has ${data.byteLength}`)
    }
    if ((end - start) % 4 !== 0) throw operationError(`writeBuffer: ${end - start} bytes are no multiple of 4`)
    // a copy, because the caller may change its data as soon as this returns
    const copy = new Uint8Array(end - start)
    copy.set(new Uint8Array(view ? data.buffer : data, (view ? data.byteOffset : 0) + start, end - start))
    this.connection.call(this.number, 'writeBuffer', [buffer, bufferOffset, copy], undefined, [copy.buffer])
  }

  async onSubmittedWorkDone(): Promise<undefined> {
    await this.connection.ask(this.number, 'onSubmittedWorkDone', [])
  }
}

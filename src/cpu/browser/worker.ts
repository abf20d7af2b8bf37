// The thread that holds a page's device: it makes the calls the page asks for, one after the other, on the real
// objects.
import { CpuAdapter } from '../device/adapter.ts'
import { CpuBuffer } from '../device/buffer.ts'
import { CpuDevice } from '../device/device.ts'
import { mapMode } from '../device/flags.ts'
import { CpuComputePass } from '../device/pass.ts'
import { createCpuGpu, type CpuOptions } from '../index.ts'
import { passCall, plainError, type AdapterFacts, type Answer, type Call, type DeviceFacts, type Handle,
  type Request } from './protocol.ts'

const scope = globalThis as unknown as {
  postMessage(message: Answer, transfer: Transferable[]): void,
  onmessage: ((event: MessageEvent) => void) | null,
}
const objects = new Map<number, object>()
/** What was taken of a buffer mapped for writing, until the page sends back what it wrote. */
const taken = new WeakMap<CpuBuffer, { offset: number, data: ArrayBuffer }>()

const send = (answer: Answer, transfer: Transferable[] = []): void => scope.postMessage(answer, transfer)

/** Puts objects in the place of their numbers, however deep. */
function resolve(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return value
  }
  if ('$handle' in value) return objects.get((value as Handle).$handle)
  if (Array.isArray(value)) return value.map(resolve)
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, resolve(part)]))
}

/** What the page gets to know of an object it holds by number. */
function facts(value: unknown, number: number): unknown {
  if (value instanceof CpuAdapter) {
    return {
      features: [...value.features],
      limits: { ...value.limits as unknown as Record<string, number> },
      info: { ...value.info },
    } satisfies AdapterFacts
  }
  if (value instanceof CpuDevice) {
    value.onuncapturederror = ({ error }) => send({ device: number, uncaptured: plainError(error) })
    void value.lost.then(({ reason, message }) => send({ device: number, lost: { reason, message } }))
    return {
      features: [...value.features],
      limits: { ...value.limits as unknown as Record<string, number> },
    } satisfies DeviceFacts
  }
  return undefined
}

/** Makes the calls of a recorded pass. */
function replay(pass: CpuComputePass, record: Float64Array): void {
  const object = (at: number): never => objects.get(record[at]) as never
  let at = 0
  while (at < record.length) {
    switch (record[at]) {
      case passCall.setPipeline:
        pass.setPipeline(object(at + 1))
        at += 2
        break
      case passCall.setBindGroup: {
        const end = at + 4 + record[at + 3]
        pass.setBindGroup(record[at + 1], record[at + 2] ? object(at + 2) : null, [...record.subarray(at + 4, end)])
        at = end
        break
      }
      case passCall.dispatch:
        pass.dispatchWorkgroups(record[at + 1], record[at + 2], record[at + 3])
        at += 4
        break
      default:
        pass.dispatchWorkgroupsIndirect(object(at + 1), record[at + 2])
        at += 3
    }
  }
}

async function perform({ target, method, args, result, reply }: Call): Promise<void> {
  const object = objects.get(target)
  try {
    if (object instanceof CpuBuffer && method === 'mapAsync' && reply !== undefined) {
      const [mode, offset, size] = args as [number, number, number | undefined]
      await object.mapAsync(mode, offset, size)
      // the page's copy: what it may read, or may write over, which comes back with `unmapWith`
      const data = object.getMappedRange(offset, size)
      if (mode === mapMode.WRITE) taken.set(object, { offset, data })
      const copy = mode === mapMode.WRITE ? data.slice(0) : data
      send({ reply, value: copy }, [copy])
      return
    }
    if (object instanceof CpuBuffer && method === 'unmapWith') {
      const [ranges] = args as [{ offset: number, data: ArrayBuffer }[]]
      const whole = taken.get(object) ?? { offset: 0, data: object.getMappedRange() }
      for (const { offset, data } of ranges) new Uint8Array(whole.data, offset - whole.offset).set(new Uint8Array(data))
      taken.delete(object)
      object.unmap()
      return
    }
    if (object instanceof CpuComputePass && method === 'replay') {
      replay(object, args[0] as Float64Array)
      return
    }
    if (object instanceof CpuDevice && method === 'getQueue') {
      objects.set(result!, object.queue)
      return
    }
    const returned: unknown = (object as Record<string, (...args: unknown[]) => unknown>)[method](...args.map(resolve))
    // without a promise the object must be there for the next call, in the same turn
    const value = returned instanceof Promise ? await returned as unknown : returned
    if (result !== undefined && value) objects.set(result, value)
    if (reply === undefined) return
    if (method === 'popErrorScope') send({ reply, value: value && plainError(value) })
    else if (method === 'getCompilationInfo') send({ reply, value: [...(value as GPUCompilationInfo).messages] })
    else send({ reply, value: facts(value, result ?? 0) })
  } catch (error) {
    if (reply !== undefined) send({ reply, failure: plainError(error) })
    else {for (const [number, device] of objects) {
        // a TypeError or the like, which the page's thread would have thrown had it made the call itself
        if (device instanceof CpuDevice) {
          send({ device: number, uncaptured: plainError(error) })
          break
        }
      }}
  }
}

scope.onmessage = ({ data: options }: MessageEvent<CpuOptions>) => {
  objects.set(0, createCpuGpu(options))
  scope.onmessage = ({ data }: MessageEvent<Request>) => {
    for (const call of data.calls) void perform(call)
    for (const number of data.drop) objects.delete(number)
  }
}

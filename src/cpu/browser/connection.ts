// The page's end of the line to the worker that holds its device.
import type { CpuOptions } from '../device/adapter.ts'
import { errorNamed, PipelineError } from '../runtime/errors.ts'
import type { Answer, Call, PlainError, Request } from './protocol.ts'

/** What a device wants to hear. */
export interface DeviceEvents {
  onLost(info: { reason: string, message: string }): void
  onUncaptured(error: GPUError): void
}

function failureOf({ name, message, reason }: PlainError): Error {
  if (name === 'GPUPipelineError') return new PipelineError(message, reason as GPUPipelineErrorReason)
  if (name === 'TypeError') return new TypeError(message)
  if (name === 'RangeError') return new RangeError(message)
  return new DOMException(message, name)
}

/** Collects calls into messages and hands out the answers. */
export class Connection {
  private readonly worker: Worker
  private readonly waiting = new Map<number, { resolve: (value: never) => void, reject: (error: Error) => void }>()
  private readonly devices = new Map<number, WeakRef<DeviceEvents>>()
  private readonly dropped = new FinalizationRegistry<number>((number) => {
    this.drop.push(number)
    this.flushLater()
  })
  private calls: Call[] = []
  private drop: number[] = []
  private transfer: Transferable[] = []
  private numbers = 0
  private scheduled = false
  private broken: Error | null = null

  constructor(worker: Worker, options: CpuOptions) {
    this.worker = worker
    worker.onmessage = (event: MessageEvent<Answer>) => this.receive(event.data)
    worker.onerror = (event) => {
      const error = new Error(
        event.message
          ? `its worker failed: ${event.message}`
          : "the browser did not start its worker; where the page's Content-Security-Policy has no 'blob:' in "
            + "worker-src, serve a copy of the package's dist/browser/worker.js and give its address: "
            + "init({ worker: '/worker.js' })",
      )
      this.broken = error
      for (const { reject } of this.waiting.values()) reject(error)
      this.waiting.clear()
    }
    worker.postMessage(options)
  }

  /** A number for a new object. */
  register(object: object): number {
    const number = ++this.numbers
    this.dropped.register(object, number)
    return number
  }

  /** A number for an object that will be there only when its promise is fulfilled. */
  reserve(): number {
    return ++this.numbers
  }

  /** Sends a device its events, and lets go of it in the worker when it is collected here. */
  adopt(device: DeviceEvents, number: number): void {
    this.devices.set(number, new WeakRef(device))
    this.dropped.register(device, number)
  }

  /** Makes a call some time soon, in order. */
  call(target: number, method: string, args: unknown[], result?: number, transfer: Transferable[] = []): void {
    this.calls.push({ target, method, args: args.map(encode), ...(result !== undefined && { result }) })
    this.transfer.push(...transfer)
    // long recordings go over in parts, so that both threads are at work
    if (this.calls.length >= 4096) this.flush()
    else this.flushLater()
  }

  /** Makes a call and waits for its outcome. */
  ask<T>(target: number, method: string, args: unknown[], result?: number): Promise<T> {
    if (this.broken) return Promise.reject(this.broken)
    const reply = ++this.numbers
    this.calls.push({ target, method, args: args.map(encode), reply, ...(result !== undefined && { result }) })
    this.flush()
    return new Promise<T>((resolve, reject) => this.waiting.set(reply, { resolve, reject }))
  }

  /** Sends what was collected. */
  flush(): void {
    if (this.calls.length === 0 && this.drop.length === 0) return
    const request: Request = { calls: this.calls, drop: this.drop }
    this.worker.postMessage(request, this.transfer)
    this.calls = []
    this.drop = []
    this.transfer = []
  }

  private flushLater(): void {
    if (this.scheduled) return
    this.scheduled = true
    queueMicrotask(() => {
      this.scheduled = false
      this.flush()
    })
  }

  private receive(answer: Answer): void {
    if ('device' in answer) {
      const device = this.devices.get(answer.device)?.deref()
      if ('lost' in answer) device?.onLost(answer.lost)
      else device?.onUncaptured(errorNamed(answer.uncaptured.name, answer.uncaptured.message))
      return
    }
    const request = this.waiting.get(answer.reply)
    this.waiting.delete(answer.reply)
    if ('failure' in answer) request?.reject(failureOf(answer.failure))
    else request?.resolve(answer.value as never)
  }
}

/** An object that lives in the worker. */
export class Remote {
  label: string
  readonly connection: Connection
  readonly number: number

  constructor(connection: Connection, label: string | undefined, number?: number) {
    this.connection = connection
    this.label = label ?? ''
    this.number = number ?? connection.register(this)
  }

  /** Calls the method of this name over there. */
  protected send(method: string, ...args: unknown[]): undefined {
    this.connection.call(this.number, method, args)
  }

  /** The same, for a method that returns an object, which `made` stands for: a `G` to the page. */
  protected make<G>(made: Remote, method: string, ...args: unknown[]): G {
    this.connection.call(this.number, method, args, made.number)
    return made as unknown as G
  }
}

/** Puts numbers in the place of objects, however deep; iterables other than arrays become arrays. */
function encode(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return value
  }
  if (value instanceof Remote) return { $handle: value.number }
  if (Symbol.iterator in value) return [...value as Iterable<unknown>].map(encode)
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, encode(part)]))
}

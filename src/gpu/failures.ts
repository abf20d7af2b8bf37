// WebGPU reports errors late and does not throw: a kernel that failed validation leaves zeros behind. An error belongs
// to the kernel or buffer that caused it and to what was computed from it; every read-back asks before it hands out a
// number.
import { DeviceError, DeviceLostError, type EspalierError, KernelError } from '../base/errors.ts'
import type { Buffer } from './buffers.ts'

/** A launch, as far as errors spread through it. */
export interface Step {
  readonly pipeline: {
    readonly error: EspalierError | null,
    readonly reflection: { readonly storage: readonly { readonly write: boolean }[] },
  }
  readonly buffers: readonly Buffer[]
}

/** What an error may be explained by. */
export interface Part {
  readonly pipeline: { readonly error: EspalierError | null }
  readonly buffers: readonly { readonly lost: boolean }[]
}

/** Receives the error of what was read, where there is one. */
export interface Reading {
  failure: EspalierError | null
}

/** What happened while it was not known yet whether all that was created is sound. */
type Event = Step | { readonly fresh: Buffer } | { readonly source: Buffer, readonly reading: Reading }

// Beyond this an error cannot be traced any more and is everybody's.
const mostEvents = 1 << 17

/**
 * The errors of a device and the checks still under way. What is created (a pipeline, a buffer) is `unsure` until the
 * device has answered. Meanwhile launches are noted down, so that an error that comes late marks the buffers that
 * depend on it and no others. Errors that nothing explains, and the loss of the device, are final.
 */
export class Failures {
  /** How many pipelines and buffers could not be created so far. */
  count = 0
  /** The last of their errors. */
  latest: EspalierError | null = null
  private lost: EspalierError | null = null
  private reported: EspalierError | null = null
  private closing = false
  private readonly creations = new Set<Promise<void>>()
  private readonly consequences = new Set<Promise<void>>()
  private events: Event[] = []
  private readonly device: GPUDevice
  private readonly context: () => string
  private readonly located: (message: string) => string

  /**
   * `context` describes what was submitted last (ops, shapes), for errors that name no kernel of ours; `located` puts
   * the files and lines of kernels into a message.
   */
  constructor(device: GPUDevice, context: () => string, located: (message: string) => string) {
    this.device = device
    this.context = context
    this.located = located
    device.addEventListener('uncapturederror', (event) => {
      this.reported ??= describe((event as GPUUncapturedErrorEvent).error, this.context(), this.located)
    })
    void device.lost.then((info) => {
      if (!this.closing) {
        this.lost ??= new DeviceLostError(
          `the device was lost (${info.reason}): ${
            info.message || 'no reason given'
          }; nothing on it can be used any more, close() and init() again`,
        )
      }
    })
  }

  /** Whether something created is not known to be sound yet. */
  get unsure(): boolean {
    return this.creations.size > 0
  }

  /**
   * Registers a check of something created. It notes the error where it belongs (a pipeline, a buffer) and returns it;
   * what was computed with it meanwhile gets the error as well.
   */
  watch(check: Promise<EspalierError | null>): void {
    const settled: Promise<void> = check.then(
      (error) => {
        if (error) this.creationFailed(error)
      },
      (reason: unknown) => {
        this.reported ??= new DeviceError(String(reason))
      },
    ).finally(() => {
      this.creations.delete(settled)
      if (!this.unsure) this.events = []
    })
    this.creations.add(settled)
  }

  /** Runs what may be refused because of something unsure in `steps`; a refusal that nothing explains is final. */
  guard(steps: readonly Part[], work: () => void): void {
    if (!this.unsure) {
      work()
      return
    }
    const context = this.context()
    this.device.pushErrorScope('validation')
    let popped: Promise<GPUError | null>
    try {
      work()
    } finally {
      popped = this.device.popErrorScope()
    }
    const settled: Promise<void> = popped.then(async (error) => {
      if (!error) return
      while (this.unsure) await Promise.all(this.creations)
      const explained = steps.some(({ pipeline, buffers }) => pipeline.error ?? buffers.some(({ lost }) => lost))
      if (!explained) this.reported ??= describe(error, context, this.located)
    }).catch((reason: unknown) => {
      this.reported ??= new DeviceError(String(reason))
    }).finally(() => this.consequences.delete(settled))
    this.consequences.add(settled)
  }

  /** Notes a launch. */
  launched(step: Step): void {
    if (this.unsure) this.note(step)
  }

  /** Notes that a buffer has a new owner or new content, whatever was in it. */
  renewed(buffer: Buffer): void {
    if (!buffer.lost) buffer.failure = null
    if (this.unsure) this.note({ fresh: buffer })
  }

  /** Notes that the content is being read now. @throws its error, if that is known already. */
  reading(source: Buffer): Reading {
    if (source.failure) throw source.failure
    const reading: Reading = { failure: null }
    if (this.unsure) this.note({ source, reading })
    return reading
  }

  /** Whether the device is of no use any more. */
  get failed(): boolean {
    return this.lost !== null || this.reported !== null
  }

  /** @throws what is final, without waiting; while checks are under way, only the loss of the device. */
  throwIfAny(): void {
    if (this.lost) throw this.lost
    if (this.reported && !this.unsure && this.consequences.size === 0) throw this.reported
  }

  /** Waits for every check under way. @throws what is final. */
  async settle(): Promise<void> {
    while (this.unsure || this.consequences.size > 0) {
      await Promise.all([...this.creations, ...this.consequences])
    }
    this.throwIfAny()
  }

  /** From here on losing the device is what was asked for. */
  close(): void {
    this.closing = true
  }

  private note(event: Event) {
    if (this.events.length < mostEvents) this.events.push(event)
  }

  private creationFailed(error: EspalierError) {
    this.count++
    this.latest = error
    if (this.events.length >= mostEvents) {
      this.reported ??= error
      return
    }
    const marked = new Map<Buffer, EspalierError>()
    const errorOf = (buffer: Buffer) => buffer.lost ? buffer.failure : marked.get(buffer) ?? null
    for (const event of this.events) {
      if ('fresh' in event) marked.delete(event.fresh)
      else if ('source' in event) event.reading.failure ??= errorOf(event.source)
      else {
        const { pipeline, buffers } = event
        const cause = pipeline.error ?? buffers.map(errorOf).find((found) => found !== null)
        if (!cause) continue
        pipeline.reflection.storage.forEach(({ write }, i) => {
          if (write) marked.set(buffers[i], cause)
        })
      }
    }
    for (const [buffer, cause] of marked) buffer.failure ??= cause
  }
}

function describe(error: GPUError, context: string, located: (message: string) => string): EspalierError {
  const text = located(error.message.split('\n').slice(0, 6).join('\n'))
  const kind = error.constructor.name
  if (kind === 'GPUOutOfMemoryError') {
    return new DeviceError(`out of device memory (${context}): ${text}; use a smaller batch`)
  }
  return new KernelError(`the device refused a command (${context}): ${text}`)
}

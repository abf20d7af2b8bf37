// WebGPU reports errors late and does not throw: a kernel that failed validation leaves zeros behind. Everything that
// can go wrong is collected here, and every read-back asks before it hands out a number.
import { DeviceError, DeviceLostError, type EspalierError, KernelError } from '../base/errors.ts'

/**
 * The first error of a device and the checks still under way. A check knows the cause (the kernel, the line); what the
 * device reports meanwhile is usually its consequence, so a cause found later takes precedence.
 */
export class Failures {
  private cause: EspalierError | null = null
  private reported: EspalierError | null = null
  private closing = false
  private readonly pending = new Set<Promise<void>>()
  private readonly context: () => string

  /** `context` describes what was submitted last (ops, shapes), for errors that name no kernel of ours. */
  constructor(device: GPUDevice, context: () => string) {
    this.context = context
    device.addEventListener('uncapturederror', (event) => {
      this.reported ??= describe((event as GPUUncapturedErrorEvent).error, this.context())
    })
    void device.lost.then((info) => {
      if (!this.closing) {
        this.cause ??= new DeviceLostError(
          `the device was lost (${info.reason}): ${
            info.message || 'no reason given'
          }; results after that are not to be trusted, init() again`,
        )
      }
    })
  }

  /** Registers a check whose outcome must be known before any result is handed out. */
  watch(check: Promise<EspalierError | null>): void {
    const settled: Promise<void> = check.then(
      (error) => {
        if (error) this.cause ??= error
      },
      (reason: unknown) => {
        this.cause ??= new DeviceError(String(reason))
      },
    ).finally(() => this.pending.delete(settled))
    this.pending.add(settled)
  }

  /** Whether something failed. */
  get failed(): boolean {
    return this.cause !== null || this.reported !== null
  }

  /** @throws the first error so far, without waiting; while checks are under way, only one whose cause is known. */
  throwIfAny(): void {
    if (this.cause) throw this.cause
    if (this.reported && this.pending.size === 0) throw this.reported
  }

  /** Waits for every check under way. @throws the first error. */
  async settle(): Promise<void> {
    while (this.pending.size) await Promise.all(this.pending)
    this.throwIfAny()
  }

  /** From here on losing the device is what was asked for. */
  close(): void {
    this.closing = true
  }
}

function describe(error: GPUError, context: string): EspalierError {
  const text = error.message.split('\n').slice(0, 6).join('\n')
  const kind = error.constructor.name
  if (kind === 'GPUOutOfMemoryError') {
    return new DeviceError(`out of device memory (${context}): ${text}; use a smaller batch`)
  }
  return new KernelError(`the device refused a command (${context}): ${text}`)
}

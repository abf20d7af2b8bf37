// WebGPU reports errors late and does not throw: a kernel that failed validation leaves zeros behind. Everything that
// can go wrong is collected here, and every read-back asks before it hands out a number.
import { DeviceError, DeviceLostError, type EspalierError, KernelError } from '../errors.ts'

/** The first error of a device and the checks still under way. */
export class Failures {
  private first: EspalierError | null = null
  private closing = false
  private readonly pending = new Set<Promise<void>>()
  private readonly context: () => string

  /** `context` describes what was submitted last (ops, shapes), for errors that name no kernel of ours. */
  constructor(device: GPUDevice, context: () => string) {
    this.context = context
    device.addEventListener('uncapturederror', (event) => {
      this.add(describe((event as GPUUncapturedErrorEvent).error, this.context()))
    })
    void device.lost.then((info) => {
      if (!this.closing) {
        this.first = new DeviceLostError(`the device was lost (${info.reason}): ${info.message || 'no reason given'}; results after that are not to be trusted, init() again`)
      }
    })
  }

  /** Records an error; the first one wins, since later ones are usually its consequences. */
  add(error: EspalierError): void {
    this.first ??= error
  }

  /** Registers a check whose outcome must be known before any result is handed out. */
  watch(check: Promise<EspalierError | null>): void {
    const settled: Promise<void> = check.then(
      (error) => { if (error) this.add(error) },
      (reason: unknown) => this.add(new DeviceError(String(reason))),
    ).finally(() => this.pending.delete(settled))
    this.pending.add(settled)
  }

  /** @throws the first error so far, without waiting. */
  throwIfAny(): void {
    if (this.first) throw this.first
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
  if (kind === 'GPUOutOfMemoryError') return new DeviceError(`out of device memory (${context}): ${text}; use a smaller batch`)
  return new KernelError(`the device refused a command (${context}): ${text}`)
}

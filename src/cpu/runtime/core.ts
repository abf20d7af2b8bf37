// What all objects of one device share.
import { isChecking, type CompiledKernel, type Mode } from '../abi.ts'
import type { Compiler } from './cache.ts'
import { ErrorScopes, Refusal } from './errors.ts'
import { Kernel, type Report } from './kernel.ts'
import type { Limits } from './limits.ts'
import { LinearMemory } from './memory.ts'
import { nextTurn } from './platform.ts'
import { Reports, type Finding } from './reports.ts'
import { Scheduler } from './scheduler.ts'
import { WorkQueue } from './work.ts'

/** The working parts of one device. */
export class Core {
  readonly memory: LinearMemory
  readonly scheduler: Scheduler
  /** What was submitted and is not done yet. */
  readonly work: WorkQueue
  readonly errors: ErrorScopes
  readonly limits: Limits
  readonly features: Set<string>
  readonly mode: Mode
  readonly compiler: Compiler
  /** What kernels in a debug mode have reported. */
  readonly reports = new Reports()
  /** The same, once a submit has turned them into errors. */
  readonly findings: Finding[] = []
  /** True from `destroy()` on. */
  lost = false
  /** Buffers that are mapped or about to be, so that destroying the device can end that. */
  readonly mapped = new Set<{ destroy(): undefined }>()
  private readonly collected = new FinalizationRegistry<{ address: number, size: number }>(({ address, size }) => {
    this.release(address, size)
  })

  constructor(
    options: {
      threads: number,
      memoryLimit: number,
      timeLimit: number,
      mode: Mode,
      compiler: Compiler,
      limits: Limits,
      features: Set<string>,
      uncaptured: (error: GPUError) => void,
    },
  ) {
    this.limits = options.limits
    this.features = options.features
    this.mode = options.mode
    this.compiler = options.compiler
    this.memory = new LinearMemory(options.memoryLimit, options.threads > 1)
    this.scheduler = new Scheduler(this.memory, options.threads, isChecking(options.mode), options.timeLimit)
    this.work = new WorkQueue(!isChecking(options.mode))
    this.errors = new ErrorScopes(options.uncaptured)
  }

  /**
   * Runs `steps`; a rule broken inside becomes a validation error that names the call.
   * @returns whether all went well
   */
  attempt(call: string, steps: () => void): boolean {
    try {
      steps()
      return true
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.errors.validation(`${error.message}\n - while calling ${call}`)
      return false
    }
  }

  /** Loads a compiled entry point; its code leaves the linear memory when nobody holds the kernel any more. */
  load(compiled: CompiledKernel, report?: Report): Kernel {
    const kernel = new Kernel(compiled, this.memory, this.scheduler.watchdog.tick, report)
    if (kernel.address) this.own(kernel, kernel.address, kernel.byteLength)
    return kernel
  }

  /**
   * Ties a block of linear memory to an object: it is freed when the object is collected, unless `disown` comes first.
   */
  own(object: object, address: number, size: number): void {
    this.collected.register(object, { address, size }, object)
  }

  /** Frees a block of linear memory once the work that may touch it is done. */
  release(address: number, size: number): void {
    if (this.lost) return
    this.afterWork(() => this.memory.free(address, size))
  }

  /** Address of zeroed memory; what waits to be freed is waited for where there is no other. */
  allocate(size: number): number | undefined {
    const address = this.memory.allocate(size)
    if (address !== undefined || this.work.idle) return address
    this.work.finish()
    return this.memory.allocate(size)
  }

  /** Does something once all work submitted so far is done: at once if there is none. */
  afterWork(action: () => void, always = false): void {
    if (this.work.idle) {
      action()
      return
    }
    this.work.add(() => {
      action()
      return true
    }, always)
  }

  /** The object frees its memory itself. */
  disown(object: object): void {
    this.collected.unregister(object)
  }

  /** A promise that is fulfilled in a later turn, after the work submitted so far and the promises made before it. */
  later<T>(value: () => T): Promise<T> {
    return new Promise((resolve, reject) =>
      this.afterWork(() =>
        nextTurn(() => {
          try {
            resolve(value())
          } catch (error) {
            reject(error)
          }
        }), true)
    )
  }
}

/** Common to all objects: a label for messages, the device they belong to, and whether their creation broke a rule. */
export abstract class DeviceObject {
  label: string
  readonly core: Core
  /** False poisons every use, as in the standard. */
  valid = true
  /** The kind in messages, e.g. `Buffer`. */
  abstract readonly kind: string

  constructor(core: Core, label: string | undefined) {
    this.core = core
    this.label = label ?? ''
  }

  /** `[Buffer "weights"]`, the way all messages name objects. */
  toString(): string {
    return `[${this.valid ? '' : 'Invalid '}${this.kind}${this.label ? ` "${this.label}"` : ''}]`
  }
}

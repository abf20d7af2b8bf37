// The errors of the WebGPU interface and where they go: the innermost fitting error scope, else `uncapturederror`.

class DeviceProblem {
  /** What happened, with the labels of the objects involved. */
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
  get name(): string {
    return this.constructor.name
  }
  toString(): string {
    return `${this.name}: ${this.message}`
  }
}

// the class names are the standard's, because callers (and logs) tell the kinds apart by `constructor.name`
/** The call broke a rule of the interface; it had no effect. */
const Validation = class GPUValidationError extends DeviceProblem {} as unknown as new(
  message: string,
) => GPUValidationError
/** There was no memory for it. */
const OutOfMemory = class GPUOutOfMemoryError extends DeviceProblem {} as unknown as new(
  message: string,
) => GPUOutOfMemoryError
/** The call was right and the device could not do it: a construct the compiler does not know, a trap in a kernel. */
const Internal = class GPUInternalError extends DeviceProblem {} as unknown as new(message: string) => GPUInternalError

/** What `createComputePipelineAsync` rejects with. */
export class PipelineError extends DOMException {
  declare readonly __brand: 'GPUPipelineError'
  readonly reason: GPUPipelineErrorReason
  constructor(message: string, reason: GPUPipelineErrorReason) {
    super(message, 'GPUPipelineError')
    this.reason = reason
  }
}

/** The event a device dispatches for an error no scope took; `preventDefault()` keeps it off the console. */
export class UncapturedErrorEvent extends Event {
  declare readonly __brand: 'GPUUncapturedErrorEvent'
  readonly error: GPUError
  constructor(error: GPUError) {
    super('uncapturederror', { cancelable: true })
    this.error = error
  }
}

/** The error of this class name (`GPUValidationError` ..), for errors that come from another thread. */
export function errorNamed(name: string, message: string): GPUError {
  const type = name === 'GPUOutOfMemoryError' ? OutOfMemory : name === 'GPUInternalError' ? Internal : Validation
  return new type(message)
}

/** Thrown inside the device when a rule is broken; the entry points turn it into an error of the interface. */
export class Refusal extends Error {}

/** Breaks off with a validation error. */
export function refuse(message: string): never {
  throw new Refusal(message)
}

/** How a rejected promise of the interface says that the operation could not be done. */
export function operationError(message: string): DOMException {
  return new DOMException(message, 'OperationError')
}

interface Scope {
  filter: GPUErrorFilter
  error: GPUError | null
}

/** The stack of error scopes of one device. */
export class ErrorScopes {
  private scopes: Scope[] = []
  private readonly uncaptured: (error: GPUError) => void
  /** After the loss of the device nothing is reported any more. */
  silent = false

  /** @param uncaptured gets every error that no scope takes */
  constructor(uncaptured: (error: GPUError) => void) {
    this.uncaptured = uncaptured
  }

  push(filter: GPUErrorFilter): void {
    if (filter !== 'validation' && filter !== 'out-of-memory' && filter !== 'internal') {
      throw new TypeError(`pushErrorScope: '${filter}' is none of validation, out-of-memory, internal`)
    }
    this.scopes.push({ filter, error: null })
  }

  /** Closes the innermost scope, which may still get errors of work submitted inside it; undefined if none is open. */
  pop(): { readonly error: GPUError | null } | undefined {
    return this.scopes.pop()
  }

  /** Runs `steps` later as if the scopes open now still were. */
  bind<A extends unknown[], T>(steps: (...args: A) => T): (...args: A) => T {
    const mine = [...this.scopes]
    return (...args) => {
      const open = this.scopes
      this.scopes = mine
      try {
        return steps(...args)
      } finally {
        this.scopes = open
      }
    }
  }

  validation(message: string): void {
    this.report('validation', new Validation(message))
  }
  outOfMemory(message: string): void {
    this.report('out-of-memory', new OutOfMemory(message))
  }
  internal(message: string): void {
    this.report('internal', new Internal(message))
  }

  private report(filter: GPUErrorFilter, error: GPUError): void {
    if (this.silent) return
    const scope = this.scopes.findLast((candidate) => candidate.filter === filter)
    if (!scope) this.uncaptured(error)
    else scope.error ??= error
  }
}

// A compiled entry point, loaded into one device: an instance on this thread, its bytes where workers find them.
import type { CompiledKernel } from '../abi.ts'
import type { LinearMemory } from './memory.ts'

/** `env.report` of the debug modes; see abi.ts for the numbers. */
export type Report = (kind: number, line: number, a: number, b: number) => void

let ids = 0

/** What the scheduler runs. */
export class Kernel {
  /** Never used twice in a process. */
  readonly id = ++ids
  /** What the compiler said about it. */
  readonly compiled: CompiledKernel
  readonly scratchBytes: number
  /** Runs workgroups `first`..`last - 1` of the dispatch described at `block`. */
  readonly run: (block: number, scratch: number, first: number, last: number) => void
  /** Where its WASM bytes lie in the linear memory; 0 if nobody but this thread runs it. */
  readonly address: number = 0
  readonly byteLength: number
  /** Calls so far, counted while it is new. */
  calls = 0
  /** What a workgroup took when last measured; 0 before that. */
  millisecondsPerGroup = 0

  /**
   * Instantiates on this thread.
   * @param tick what loops that may not end call
   * @param report what kernels of a debug mode call
   * @throws RangeError if the linear memory has no room for the code
   */
  constructor(
    compiled: CompiledKernel,
    memory: LinearMemory,
    tick: (line: number) => void = () => undefined,
    report?: Report,
  ) {
    this.compiled = compiled
    this.scratchBytes = compiled.scratchBytes
    this.byteLength = compiled.wasm.length
    const module = new WebAssembly.Module(compiled.wasm as Uint8Array<ArrayBuffer>)
    const instance = new WebAssembly.Instance(module, {
      env: { memory: memory.wasm, tick, ...(report && { report }) },
    })
    this.run = instance.exports.run as Kernel['run']
    if (memory.shared) {
      const address = memory.allocate(this.byteLength)
      if (address === undefined) throw new RangeError(`no memory for ${this.byteLength} bytes of kernel code`)
      memory.bytes.set(compiled.wasm, address)
      this.address = address
    }
  }
}

// Runs one kernel on one thread, straight from the compiler: no device, no queue.
import type { CompileOptions } from '../../src/cpu/abi.ts'
import { analyse, compile } from '../../src/cpu/compiler/compile.ts'
import { joinsVectors, relaxedSimdAvailable } from '../../src/cpu/runtime/platform.ts'

relaxedSimdAvailable() // these set the engine's flags
joinsVectors()

/** Bytes by variable name; those of storage variables come back changed. */
export type Buffers = Record<string, ArrayBufferView>
export interface Report {
  kind: number
  line: number
  a: number
  b: number
}
export interface RunOptions extends Partial<CompileOptions> {
  groups?: [number, number?, number?]
  /** Where each binding ends; a guard of canaries follows it, which must survive. */
  guard?: boolean
}

/**
 * Compiles and runs a kernel over copies of the buffers. Gives the bytes of every buffer afterwards, and what was
 * reported.
 */
export function runKernel(
  source: string,
  buffers: Buffers,
  options: RunOptions = {},
): { out: Record<string, ArrayBuffer>, reports: Report[] } {
  const kernel = compile(analyse(source), { sharedMemory: true, relaxed: false, ...options })
  const [x, y = 1, z = 1] = options.groups ?? [1]
  const reports: Report[] = []
  const block = 64, places = new Map<string, number>()
  let end = 4096
  for (const info of kernel.bindings) {
    const data = buffers[info.name]
    if (!data) throw new Error(`no buffer for ${info.name}`)
    if (data.byteLength < info.minSize) throw new Error(`${info.name}: ${data.byteLength} bytes, needs ${info.minSize}`)
    places.set(info.name, end)
    end += Math.ceil(data.byteLength / 256 + 1) * 256
  }
  const scratch = end
  end += kernel.scratchBytes
  const memory = new WebAssembly.Memory({
    initial: Math.ceil((end + 65536) / 65536),
    maximum: 65536,
    shared: options.sharedMemory !== false,
  })
  const bytes = new Uint8Array(memory.buffer), words = new Uint32Array(memory.buffer)
  bytes.fill(0xa5, 4096)
  words.set([x, y, z, 0], block / 4)
  kernel.bindings.forEach((info, i) => {
    const data = buffers[info.name]
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), places.get(info.name)!)
    words[block / 4 + 4 + 2 * i] = places.get(info.name)!
    words[block / 4 + 5 + 2 * i] = data.byteLength
  })
  const module = new WebAssembly.Module(kernel.wasm as Uint8Array<ArrayBuffer>)
  const instance = new WebAssembly.Instance(module, {
    env: {
      memory,
      tick: () => undefined,
      report: (kind: number, line: number, a: number, b: number) => {
        reports.push({ kind, line, a, b })
      },
    },
  })
  const run = instance.exports.run as (block: number, scratch: number, first: number, last: number) => void
  run(block, scratch, 0, x * y * z)
  const out: Record<string, ArrayBuffer> = {}
  for (const info of kernel.bindings) {
    const start = places.get(info.name)!, size = buffers[info.name].byteLength
    out[info.name] = bytes.slice(start, start + size).buffer
    if (options.guard !== false) {
      for (let i = start + size; i < start + Math.ceil(size / 256 + 1) * 256; i++) {
        if (bytes[i] !== 0xa5) throw new Error(`${info.name}: byte ${i - start} behind the binding was written`)
      }
    }
  }
  return { out, reports }
}

// What differs between Node, a browser page and a browser worker: threads, the clock, the next turn of the event loop.

import { node, os, startNodeThread, systemText, type Thread, v8 } from './node.ts'

export type { Thread } from './node.ts'

/** Cores this process may use; 1 where threads cannot share memory. */
export function coreCount(): number {
  if (!sharedMemoryAvailable()) return 1
  const system = os()
  return system ? system.availableParallelism() : (globalThis.navigator?.hardwareConcurrency ?? 1)
}

// What V8 reserves: a WASM memory with the guards around it, and the code range and stack of a thread. Only addresses,
// but `ulimit -v` counts those, and V8 ends the process where a thread's are not to be had.
const MEMORY_ADDRESSES = 10.8e9, THREAD_ADDRESSES = 0.8e9

/** Threads whose addresses this process may still take; Infinity where nothing limits them. */
export function affordableThreads(): number {
  const limit = /^Max address space +(\d+)/m.exec(systemText('/proc/self/limits') ?? '')
  if (!limit) return Infinity
  const taken = /^VmSize:\s+(\d+) kB/m.exec(systemText('/proc/self/status') ?? '')
  const left = Number(limit[1]) - Number(taken?.[1] ?? 0) * 1024 - MEMORY_ADDRESSES
  return Math.max(1, 1 + Math.floor(left / THREAD_ADDRESSES))
}

/** The processor's name as the system gives it, else a general word. */
export function cpuModel(): string {
  return os()?.cpus()[0]?.model.trim().replace(/\s+/g, ' ') || 'CPU'
}

/** An environment variable, undefined in browsers. */
export function environment(name: string): string | undefined {
  return node?.env?.[name]
}

/**
 * Whether several threads can compute. Browsers give SharedArrayBuffer to cross-origin isolated pages only, and let
 * only workers wait for other threads; a page's own thread computes alone, and should leave it to `browser.ts`.
 */
export function sharedMemoryAvailable(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false
  if (node?.getBuiltinModule) return true // its module of threads, slow to load, waits until one is started
  const scope = globalThis as { crossOriginIsolated?: boolean, document?: unknown }
  return scope.crossOriginIsolated === true && scope.document === undefined
}

// (func (result v128) i32.const 0 i32x4.splat, three times, f32x4.relaxed_madd)
const relaxedProbe = new Uint8Array([
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  19,
  1,
  17,
  0,
  0x41,
  0,
  0xfd,
  17,
  0x41,
  0,
  0xfd,
  17,
  0x41,
  0,
  0xfd,
  17,
  0xfd,
  0x85,
  0x02,
  0x0b,
])
let relaxed: boolean | undefined

/** Whether WebAssembly here knows relaxed SIMD (fused multiply-add). Node 20 has it behind a flag, which this sets. */
export function relaxedSimdAvailable(): boolean {
  if (relaxed !== undefined) return relaxed
  relaxed = WebAssembly.validate(relaxedProbe)
  if (!relaxed) {
    v8()?.setFlagsFromString('--experimental-wasm-relaxed-simd')
    relaxed = WebAssembly.validate(relaxedProbe)
  }
  return relaxed
}

let joined: boolean | undefined

/**
 * Whether the engine makes one 256-bit instruction of two neighbouring vectors of four where a kernel stores such
 * pairs. V8 does on x64 with AVX2 from version 13 on (Node 24), behind a flag, which this sets; earlier versions know
 * the flag and do nothing, and whether there is AVX2 nobody tells. The flag counts for all WebAssembly of the process.
 * `ESPALIER_WIDE=0` leaves it alone.
 */
export function joinsVectors(): boolean {
  if (joined !== undefined) return joined
  const version = Number(node?.versions?.v8?.split('.')[0] ?? 0)
  joined = version >= 13 && node!.arch === 'x64' && environment('ESPALIER_WIDE') !== '0'
  if (joined) v8()?.setFlagsFromString('--experimental-wasm-revectorize')
  return joined
}

let channel: MessageChannel | undefined
const turns: (() => void)[] = []

/**
 * Runs `callback` in a later turn of the event loop, in order of the calls. Results of the device arrive this way, so
 * that a loop of submit and await still lets signals, timers and streams be served, as it does with a device in another
 * process.
 */
export function nextTurn(callback: () => void): void {
  if (typeof setImmediate === 'function') {
    setImmediate(callback)
    return
  }
  if (!channel) {
    channel = new MessageChannel()
    channel.port1.onmessage = () => turns.shift()?.()
  }
  turns.push(callback)
  channel.port2.postMessage(0)
}

/**
 * Starts a thread that runs `body(data)`. The function's own source text is what runs, the one way that works alike
 * from TypeScript under vitest, from the compiled package and from a browser bundle; so `body` must not use anything
 * outside itself.
 */
export function startThread<T>(body: (data: T) => void, data: T): Thread {
  const source = `const body = ${body.toString()};\n`
  const started = startNodeThread(source, data)
  if (started) return started
  const url = URL.createObjectURL(
    new Blob([source + 'onmessage = (event) => body(event.data)'], { type: 'text/javascript' }),
  )
  const worker = new Worker(url)
  worker.postMessage(data)
  return {
    stop: () => {
      worker.terminate()
      URL.revokeObjectURL(url)
    },
  }
}

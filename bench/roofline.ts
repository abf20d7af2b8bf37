// The two roofs of this adapter, measured with kernels of our own in the run they belong to: how fast it copies, and
// how fast it multiplies and adds in registers (Williams, Waterman, Patterson, "Roofline", CACM 2009). A kernel's share
// of the roof is the least time its work could take under both, over the time it took.
import { NumericError } from '../src/base/errors.ts'
import { median } from '../src/base/turns.ts'
import { fillUniform } from '../src/base/random.ts'
import { copyInto } from '../src/core/fill.ts'
import { launch } from '../src/core/launch.ts'
import { empty, type Tensor, tensor } from '../src/core/tensor.ts'
import { gpu } from '../src/gpu/device.ts'
import { type Kernel, kernel } from '../src/gpu/kernel.ts'
import { deviceTime } from '../src/gpu/timing.ts'
import type { OnProgress } from '../src/pruning/progress.ts'
import type { Row } from './harness.ts'

/** What the adapter does at best. Giga is 10^9. */
export interface Roofline {
  /** Bytes read and written per second while a buffer is copied. */
  copyGbps: number
  /** Size of the buffer that was copied; larger than a cache, or it would be the cache's figure. */
  copyBytes: number
  /** Floating-point operations per second, a multiply-add counting two. */
  fmaGflops: number
  /** Independent sums per invocation with which that was reached. */
  fmaChains: number
}

const chainCounts = [4, 8, 12] as const

const fmaKernels = new Map<number, Kernel>(chainCounts.map((chains) => {
  const names = Array.from({ length: chains }, (_, i) => `s${i}`)
  return [
    chains,
    kernel('bench/fma.wgsl', {
      buffers: ['y'],
      params: ['steps', 'factor', 'shift'],
      label: `${chains} chains`,
      splice: {
        '/*declare*/': names.map((name, i) => `var ${name} = vec4f(f32(id.x & 7u) + ${i}.0);`).join(' '),
        '/*steps*/': names.map((name) => `${name} = fma(${name}, factor, shift);`).join(' '),
        '/*sum*/': names.join(' + '),
      },
    }),
  ]
}))

/**
 * Measures both roofs on the open device; about a second on a fast one. @throws NumericError if a kernel computes wrong
 * values.
 */
export async function measureRoofline(
  { rounds = 7, msPerRound = 20, onProgress }: { rounds?: number, msPerRound?: number, onProgress?: OnProgress } = {},
): Promise<Roofline> {
  const total = 1 + chainCounts.length
  onProgress?.('roofline', 0, total, 'copy bandwidth')
  const copy = await copyBandwidth(rounds, msPerRound)
  let best = { fmaGflops: 0, fmaChains: 0 }
  for (const [i, chains] of chainCounts.entries()) {
    onProgress?.('roofline', 1 + i, total, `multiply-adds, ${chains} chains`)
    const fmaGflops = await fmaPeak(chains, rounds, msPerRound)
    if (fmaGflops > best.fmaGflops) best = { fmaGflops, fmaChains: chains }
  }
  onProgress?.('roofline', total, total)
  return { ...copy, ...best }
}

async function copyBandwidth(rounds: number, msPerRound: number) {
  const { kind } = gpu().adapter, limit = gpu().limits.maxStorageBufferBindingSize
  // Far above the caches: 50 MB on the largest GPUs of today, 32 MB shared on a server's cores.
  const wished = kind === 'gpu' ? 1 << 28 : kind === 'software' ? 1 << 25 : 1 << 26
  const elements = Math.floor(Math.min(wished, limit) / 4), bytes = 4 * elements
  const values = fillUniform(new Float32Array(elements), 1, 'copy')
  const source = tensor(values), target = empty([elements])
  try {
    const ms = await quickestOf(
      () => {
        copyInto(source, target)
      },
      rounds,
      msPerRound,
    )
    const found = await target.data()
    if (found.some((value, i) => value !== values[i])) {
      throw new NumericError(
        `roofline: a copy of ${bytes} bytes differs from its source; nothing is timed on this adapter`,
      )
    }
    return { copyGbps: 2 * bytes / ms / 1e6, copyBytes: bytes }
  } finally {
    source.dispose()
    target.dispose()
  }
}

async function fmaPeak(chains: number, rounds: number, msPerRound: number): Promise<number> {
  const { kind } = gpu().adapter, groups = kind === 'gpu' ? 4096 : 16, invocations = 64 * groups
  const y = empty([invocations, 4]), factor = 0.5, shift = 1
  // Steps grow until one launch takes a millisecond or more, so that its start does not count.
  let steps = 256
  const run = (): Tensor => {
    launch(fmaKernels.get(chains)!, { y }, { steps, factor, shift }, [groups])
    return y
  }
  try {
    for (let i = 0; i < 8 && await deviceTime(run) < 1; i++) steps *= 2
    const ms = await quickestOf(run, rounds, msPerRound)
    const expected = chains * shift / (1 - factor), found = await y.data()
    if (!found.every((value) => Math.abs(value - expected) < 1e-4)) {
      throw new NumericError(`roofline: the kernel of multiply-adds gave ${found[0]}, expected ${expected}`)
    }
    return 2 * 4 * chains * steps * invocations / ms / 1e6
  } finally {
    y.dispose()
  }
}

/** Device time of one launch: the best round counts, because a roof is what is possible at all. */
async function quickestOf(run: () => unknown, rounds: number, msPerRound: number): Promise<number> {
  const first = await deviceTime(() => void run())
  const repeats = Math.max(1, Math.min(200, Math.round(2 / Math.max(first, 0.005))))
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const samples: number[] = [], until = performance.now() + msPerRound
    do {
      samples.push(
        await deviceTime(() => {
          for (let i = 0; i < repeats; i++) run()
        }) / repeats,
      )
    } while (performance.now() < until)
    times.push(median(samples))
  }
  return Math.min(...times)
}

/** What bounds work of so many operations and bytes, and the least time it takes under both roofs. */
export function underRoof(
  { copyGbps, fmaGflops }: Roofline,
  flops: number,
  bytes: number,
): { ms: number, bound: 'compute' | 'memory' } {
  const compute = flops / fmaGflops / 1e6, memory = bytes / copyGbps / 1e6
  return { ms: Math.max(compute, memory), bound: compute > memory ? 'compute' : 'memory' }
}

/**
 * Rows with their share of the roof, by device time where it was taken. Rows of a peer on another device, and those
 * without operations or bytes, stay without.
 */
export function withRoofline(rows: readonly Row[], roofline: Roofline): Row[] {
  return rows.map((row) => {
    const { gflops, gbps, msMedian, msDevice } = row
    if (gbps === null || row.offDevice) return row
    const { ms, bound } = underRoof(roofline, (gflops ?? 0) * msMedian * 1e6, gbps * msMedian * 1e6)
    return { ...row, roofline: ms / (msDevice ?? msMedian), bound }
  })
}

// ESPALIER_PROFILE=1: every launch in a pass of its own with timestamps around it, summed up by kernel.
import type { Gpu } from './device.ts'
import { encodeAll, type Launch } from './launches.ts'

/** One line of the profile. Times are milliseconds of device time. */
export interface ProfileRow {
  kernel: string
  calls: number
  ms: number
  gflops: number
  gbps: number
}

interface Sum {
  calls: number
  ms: number
  flops: number
  bytes: number
}

const perSubmit = 1024 // timestamp pairs per query set; a query set takes at most 4096 queries

/** Times each launch with timestamp queries; an adapter without them cannot be profiled. */
export class Profiler {
  private readonly gpu: Gpu
  private readonly sums = new Map<string, Sum>()
  private pending: Promise<void> = Promise.resolve()

  constructor(gpu: Gpu) {
    this.gpu = gpu
    gpu.launches.encoder = (list) => {
      this.encode(list)
    }
  }

  /** Stops profiling: later lists are encoded as one pass again. */
  stop(): void {
    this.gpu.launches.flush()
    this.gpu.launches.encoder = null
  }

  /** The profile so far, slowest kernel first. */
  async rows(): Promise<ProfileRow[]> {
    this.gpu.launches.flush()
    await this.pending
    return [...this.sums].map(([kernel, { calls, ms, flops, bytes }]) => ({
      kernel,
      calls,
      ms,
      gflops: ms ? flops / ms / 1e6 : 0,
      gbps: ms ? bytes / ms / 1e6 : 0,
    })).sort((a, b) => b.ms - a.ms)
  }

  /** The profile as a table. */
  async report(): Promise<string> {
    const rows = await this.rows()
    const line = (cells: string[]) => cells.map((cell, i) => i ? cell.padStart(10) : cell.padEnd(44)).join(' ')
    const total = rows.reduce((sum, row) => sum + row.ms, 0)
    return [
      `profile on ${this.gpu.adapter.name}`,
      line(['kernel', 'calls', 'ms', 'GFLOP/s', 'GB/s', '% time']),
      ...rows.map((row) =>
        line([
          row.kernel,
          String(row.calls),
          row.ms.toFixed(3),
          row.gflops ? row.gflops.toFixed(2) : '-',
          row.gbps.toFixed(2),
          total ? (100 * row.ms / total).toFixed(1) : '-',
        ])
      ),
    ].join('\n')
  }

  private encode(list: readonly Launch[]) {
    for (let start = 0; start < list.length; start += perSubmit) this.timed(list.slice(start, start + perSubmit))
  }

  private timed(list: readonly Launch[]) {
    const { device } = this.gpu
    const querySet = device.createQuerySet({ type: 'timestamp', count: list.length * 2 })
    const bytes = list.length * 16
    const resolved = device.createBuffer({ size: bytes, usage: 0x200 | 0x4 }) // QUERY_RESOLVE | COPY_SRC
    const staging = device.createBuffer({ size: bytes, usage: 0x1 | 0x8 }) // MAP_READ | COPY_DST
    const encoder = device.createCommandEncoder()
    list.forEach((launch, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      })
      encodeAll(pass, [launch])
      pass.end()
    })
    encoder.resolveQuerySet(querySet, 0, list.length * 2, resolved, 0)
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes)
    device.queue.submit([encoder.finish()])
    this.pending = Promise.all([
      this.pending,
      staging.mapAsync(0x1).then(() => {
        const times = new BigInt64Array(staging.getMappedRange())
        list.forEach((launch, i) => {
          this.add(launch, Number(times[2 * i + 1] - times[2 * i]) / 1e6)
        })
        staging.destroy()
        resolved.destroy()
        querySet.destroy()
      }),
    ]).then(() => undefined)
  }

  private add({ pipeline, flops, bytes }: Launch, ms: number) {
    const name = pipeline.kernel.label
    const sum = this.sums.get(name) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 }
    this.sums.set(name, { calls: sum.calls + 1, ms: sum.ms + ms, flops: sum.flops + flops, bytes: sum.bytes + bytes })
  }
}

// Check first, then time. Every implementation of a case computes once and is compared with a trusted result; what is
// wrong is not timed. Then implementations take turns, round by round, so that a busy machine disturbs all of them
// alike.
import { setTimeout } from 'node:timers/promises'
import { InputError, NumericError } from '../src/base/errors.ts'
import type { OnProgress } from '../src/pruning/progress.ts'
import { median, quantile, spreadOf, takeTurns } from '../src/base/turns.ts'

/**
 * One implementation of a case. `run` computes once and reads the result back; `device` gives the device time of one
 * run in ms.
 */
export interface Subject {
  impl: string
  run(): Promise<ArrayLike<number>>
  /** Brings a result into the order of `expected` before it is compared; not timed. */
  inOrder?(values: ArrayLike<number>): ArrayLike<number>
  device?: () => Promise<number>
  note?: string
  dispose?(): void
}

/**
 * What is timed: a kernel at one shape with everything that computes it. `expected` comes from doubles or another
 * trusted source.
 */
export interface BenchCase {
  suite: string
  name: string
  shape: string
  flops: number
  /** Bytes that have to be read and written at least once. */
  bytes: number
  expected: ArrayLike<number>
  /** Largest max|a-b| / max|b| that counts as right; default 1e-5. */
  tolerance?: number
  subjects: Subject[]
}

/** A case by its name, made when its turn comes. */
export interface CaseMaker {
  name: string
  make(): Promise<BenchCase>
}

/** One line of a bench: the names of product.md, and the device time as a column of its own. Times are milliseconds. */
export interface Row {
  suite: string
  name: string
  shape: string
  impl: string
  msMedian: number
  msMad: number
  runs: number
  gflops: number | null
  gbps: number | null
  maxRelError: number | null
  note: string
  /**
   * The fastest tenth, which a busy neighbour disturbs least; and device time by timestamps. In JSON both are part of
   * the note.
   */
  msP10: number
  msDevice: number | null
}

/** How long to measure. */
export interface MeasureOptions {
  rounds?: number
  msPerRound?: number
  /** Which case is timed, and how many of its rounds are done. */
  onProgress?: OnProgress
}

/** Checks, warms up and times all subjects of a case in turns. @throws NumericError if one of them is wrong. */
export async function measure(
  work: BenchCase,
  { rounds = 9, msPerRound = 60, onProgress }: MeasureOptions = {},
): Promise<Row[]> {
  const errors: number[] = []
  for (const { impl, run, inOrder = (values: ArrayLike<number>) => values } of work.subjects) {
    const error = relativeError(inOrder(await run()), work.expected)
    if (!(error <= (work.tolerance ?? 1e-5))) {
      throw new NumericError(
        `${work.suite} ${work.name} ${work.shape}: ${impl} is off by ${error.toExponential(1)}, expected at most ${
          work.tolerance ?? 1e-5
        }; it is not timed`,
      )
    }
    errors.push(error)
    for (let i = 0; i < 2; i++) await run() // code and caches warm
  }
  const { Bench } = await tinybench()
  const turns = await takeTurns(
    work.subjects.map(({ impl, run, device }) => async () => {
      if (work.subjects.length > 1) await setTimeout(100) // threads of the last one may still spin
      const bench = new Bench({ time: msPerRound, iterations: 1, warmup: false, retainSamples: true, throws: true })
      bench.add(impl, async () => {
        await run()
      })
      await bench.run()
      const [{ result }] = bench.tasks
      return { wall: result.state === 'completed' ? [...result.latency.samples ?? []] : [], device: await device?.() }
    }),
    {
      rounds,
      warmUp: 0, // done above
      onRound: (done, of) => onProgress?.(`${work.name} ${work.shape}`, done, of),
    },
  )
  return work.subjects.map(({ impl, note = '', dispose }, i) => {
    dispose?.()
    const wall = turns[i].flatMap((turn) => turn.wall), device = turns[i].flatMap((turn) => turn.device ?? [])
    const { median: msMedian, mad: msMad, runs } = spreadOf(wall)
    return {
      suite: work.suite,
      name: work.name,
      shape: work.shape,
      impl,
      msMedian,
      msMad,
      runs,
      gflops: work.flops ? work.flops / msMedian / 1e6 : null,
      gbps: work.bytes / msMedian / 1e6,
      maxRelError: errors[i],
      note,
      msP10: quantile(wall, 0.1),
      msDevice: device.length ? median(device) : null,
    }
  })
}

async function tinybench(): Promise<typeof import('tinybench')> {
  try {
    return await import('tinybench')
  } catch (error) {
    throw new InputError("bench: the package 'tinybench' is not installed; run 'npm install tinybench'", {
      cause: error,
    })
  }
}

/** max|a-b| / max|b|. NaN anywhere gives NaN, which no comparison accepts. */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return NaN
  let difference = 0, scale = 0
  for (let i = 0; i < expected.length; i++) {
    const off = Math.abs(found[i] - expected[i])
    if (!(off <= difference)) difference = off
    scale = Math.max(scale, Math.abs(expected[i]))
  }
  return difference / scale
}

/** How much faster espalier is than the fastest peer, per shape and as geometric mean; null without peers. */
export function against(
  rows: readonly Row[],
  by: 'msMedian' | 'msP10' = 'msMedian',
): { cases: { name: string, shape: string, peer: string, ratio: number }[], mean: number } | null {
  const cases = rows.filter((row) => row.impl === 'espalier').flatMap((row) => {
    const peers = rows.filter((other) =>
      other.name === row.name && other.shape === row.shape && ['tfjs', 'jax-js', 'ort'].includes(other.impl)
    )
    const best = peers.sort((a, b) => a[by] - b[by])[0]
    return best ? [{ name: row.name, shape: row.shape, peer: best.impl, ratio: best[by] / row[by] }] : []
  })
  return cases.length
    ? { cases, mean: Math.exp(cases.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / cases.length) }
    : null
}

/** The rows as a table for people. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((
    row,
  ) => [
    row.name,
    row.shape,
    row.impl,
    row.msMedian.toFixed(3),
    row.msMad.toFixed(3),
    row.msP10.toFixed(3),
    row.msDevice?.toFixed(3) ?? '-',
    String(row.runs),
    row.gflops?.toFixed(2) ?? '-',
    row.gbps?.toFixed(2) ?? '-',
    row.maxRelError?.toExponential(1) ?? '-',
    row.note,
  ])
  const lines = [[
    'name',
    'shape',
    'impl',
    'wall ms',
    'mad',
    'p10',
    'device ms',
    'runs',
    'GFLOP/s',
    'GB/s',
    'max error',
    'note',
  ], ...cells]
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)))
  return lines.map((line) =>
    line.map((cell, i) => i < 3 || i === 11 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join('  ').trimEnd()
  ).join('\n')
}

/** A row with just the names of product.md. */
export function jsonRow({ msP10, msDevice, ...row }: Row): Omit<Row, 'msP10' | 'msDevice'> {
  const more = [
    row.note,
    Number.isFinite(msP10) ? `p10 ${msP10.toFixed(3)} ms` : '',
    msDevice === null ? '' : `device ${msDevice.toFixed(3)} ms`,
  ]
  return { ...row, note: more.filter(Boolean).join(', ') }
}

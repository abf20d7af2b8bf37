// Check first, then time. Every implementation of a case computes once and is compared with a trusted result; what is
// wrong is not timed. Then implementations take turns, round by round, so that a busy machine disturbs all of them
// alike.
import { setTimeout } from 'node:timers/promises'
import { InputError, NumericError } from '../src/base/errors.ts'
import { gpu } from '../src/gpu/device.ts'
import { deviceTime } from '../src/gpu/timing.ts'
import type { OnProgress } from '../src/pruning/progress.ts'
import { relativeError } from '../src/base/relative-error.ts'
import { median, quantile, spreadOf, takeTurns } from '../src/base/turns.ts'
import { compared } from './judge.ts'

/**
 * One implementation of a case. `run` computes once and reads the result back; `device` gives the device time of one
 * run in ms.
 */
export interface Subject {
  impl: string
  run(): Promise<ArrayLike<number>>
  /** What it has to give, where that is not what the case expects: a sparse weight gives other values. */
  expected?: ArrayLike<number>
  /** Brings a result into the order of `expected` before it is compared; not timed. */
  inOrder?(values: ArrayLike<number>): ArrayLike<number>
  device?: () => Promise<number>
  /** Launches the work once and reads nothing back: what the clock 'device' times. */
  launch?(): void
  /** Where they differ from the case's: operations that count, bytes, and what the dense product would take. */
  flops?: number
  bytes?: number
  denseFlops?: number
  /** Kept entries as a share of all. */
  density?: number
  /** Tokens that an attention is over. */
  tokens?: number
  /** It computes elsewhere than on the open adapter, so that the adapter's roofs say nothing about it. */
  offDevice?: boolean
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
  /** Implementations that the others are compared with, round by round. */
  baselines?: readonly string[]
  /**
   * 'wall' (default): `run` with its read-back, as peers have it. 'device': `launch` alone, many at a time, by
   * timestamps where there are some.
   */
  clock?: 'wall' | 'device'
}

/** A case by its name, made when its turn comes. */
export interface CaseMaker {
  name: string
  make(): Promise<BenchCase>
}

/** How many times as fast as another implementation of the same case a row is, with its 95 % interval over rounds. */
export interface SpeedUp {
  over: string
  value: number
  low: number
  high: number
}

/** One line of a bench: the names of product.md, and what docs/benchmarking.md adds. Times are milliseconds. */
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
  /** The fastest tenth, which a busy neighbour disturbs least; and device time by timestamps. */
  msP10: number
  msDevice: number | null
  /** The median of each round, by which implementations that took turns are compared. */
  msRounds?: number[]
  /** Processes that measured it, where there were several; each has as many of the rounds, one after the other. */
  processes?: number
  /** GFLOP/s that a dense product would need for the same time. */
  gflopsDense?: number
  density?: number
  /** Of an attention: how many tokens it is over. */
  tokens?: number
  /** The least time under the adapter's measured roofs over the time it took, and which roof that is. */
  roofline?: number
  bound?: 'compute' | 'memory'
  speedUps?: SpeedUp[]
  /** Present where the machine was too noisy to trust the row to 10 %. */
  noisy?: boolean
  profile?: 'browser' | 'native'
  offDevice?: boolean
}

/** How long to measure. */
export interface MeasureOptions {
  rounds?: number
  msPerRound?: number
  /** Which case is timed, and how many of its rounds are done. */
  onProgress?: OnProgress
}

/** Of many cases: after which time (`performance.now()`) none begins, and who hears of those that are left out. */
export interface AllOptions extends MeasureOptions {
  until?: number
  notes?: string[]
}

/** Rounds where nothing else is asked for. */
export const defaultRounds = 9

/** Checks, warms up and times all subjects of a case in turns. @throws NumericError if one of them is wrong. */
export async function measure(
  work: BenchCase,
  { rounds = defaultRounds, msPerRound = 60, onProgress }: MeasureOptions = {},
): Promise<Row[]> {
  const errors = await checked(work)
  const clock = work.clock === 'device' ? deviceClock : wallClock
  const timers: (() => Promise<Turn>)[] = []
  for (const subject of work.subjects) timers.push(await clock(subject, msPerRound))
  const turns = await takeTurns(
    timers.map((time) => async () => {
      if (work.subjects.length > 1 && work.clock !== 'device') await setTimeout(100) // threads of the last one may spin
      return time()
    }),
    {
      rounds,
      warmUp: 0, // done by the check
      onRound: (done, of) => onProgress?.(`${work.name} ${work.shape}`, done, of),
    },
  )
  const byRound = turns.map((taken) => taken.map(({ wall }) => median(wall)))
  const rows = work.subjects.map((subject, i) => rowOf(work, subject, turns[i], byRound[i], errors[i]))
  for (const { dispose } of work.subjects) dispose?.()
  return compared(rows, work.baselines ?? [])
}

/** Computes each subject and holds it against the expected values; warms it up as well. */
async function checked(work: BenchCase): Promise<number[]> {
  const errors: number[] = []
  for (
    const { impl, run, expected = work.expected, inOrder = (values: ArrayLike<number>) => values } of work.subjects
  ) {
    const error = relativeError(inOrder(await run()), expected)
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
  return errors
}

interface Turn {
  wall: number[]
  device?: number
}

async function wallClock({ impl, run, device }: Subject, msPerRound: number): Promise<() => Promise<Turn>> {
  const { Bench } = await tinybench()
  return async () => {
    const bench = new Bench({ time: msPerRound, iterations: 1, warmup: false, retainSamples: true, throws: true })
    bench.add(impl, async () => {
      await run()
    })
    await bench.run()
    const [{ result }] = bench.tasks
    return { wall: result.state === 'completed' ? [...result.latency.samples ?? []] : [], device: await device?.() }
  }
}

/** Launches so many at once that a tick of the timestamps and the start of a submit do not count. */
async function deviceClock({ impl, launch }: Subject, msPerRound: number): Promise<() => Promise<Turn>> {
  if (!launch) throw new InputError(`bench: ${impl} has no 'launch', which the clock 'device' times`)
  const perLaunch = await launchesOf(launch)
  const first = await deviceTime(launch)
  // One submit holds 1024 launches (src/gpu/launches.ts); more would not be timed.
  const most = Math.max(1, Math.floor(500 / Math.max(1, perLaunch)))
  const repeats = Math.max(1, Math.min(most, Math.round(3 / Math.max(first, 0.005))))
  return async () => {
    const wall: number[] = [], until = performance.now() + msPerRound
    do {
      wall.push(
        await deviceTime(() => {
          for (let i = 0; i < repeats; i++) launch()
        }) / repeats,
      )
    } while (performance.now() < until)
    return { wall, device: median(wall) }
  }
}

async function launchesOf(launch: () => void): Promise<number> {
  const { launches, device } = gpu(), before = launches.counts.launches
  launch()
  launches.flush()
  await device.queue.onSubmittedWorkDone()
  return launches.counts.launches - before
}

function rowOf(work: BenchCase, subject: Subject, turns: readonly Turn[], rounds: number[], error: number): Row {
  const { impl, note = '', flops = work.flops, bytes = work.bytes, denseFlops, density, tokens, offDevice } = subject
  const wall = turns.flatMap((turn) => turn.wall), device = turns.flatMap((turn) => turn.device ?? [])
  const { median: msMedian, mad: msMad, runs } = spreadOf(wall)
  const row: Row = {
    suite: work.suite,
    name: work.name,
    shape: work.shape,
    impl,
    msMedian,
    msMad,
    runs,
    gflops: flops ? flops / msMedian / 1e6 : null,
    gbps: bytes ? bytes / msMedian / 1e6 : null,
    maxRelError: error,
    note,
    msP10: quantile(wall, 0.1),
    msDevice: device.length ? median(device) : null,
    msRounds: rounds,
  }
  if (denseFlops !== undefined) row.gflopsDense = denseFlops / msMedian / 1e6
  if (density !== undefined) row.density = density
  if (tokens !== undefined) row.tokens = tokens
  if (offDevice) row.offDevice = true
  return row
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

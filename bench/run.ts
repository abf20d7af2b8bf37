// The suites of `espalier bench` (npm run bench -- <suite>): opens an adapter in one profile or in both, measures the
// roofs and then the cases, compares. `embedded` chooses its adapters and peers itself.
import { availableParallelism } from 'node:os'
import { InputError } from '../src/base/errors.ts'
import { close, type Gpu, init, type InitOptions } from '../src/gpu/device.ts'
import { tuned, tuning } from '../src/gpu/tune.ts'
import { packageVersion } from '../src/files/package.ts'
import { type CaseMaker, defaultRounds, measure, type AllOptions, type MeasureOptions, type Row } from './harness.ts'
import { attentionGrids, tokenBreakEvens } from './attention.ts'
import { attentionCases } from './kernels/attention.ts'
import { convolutionCases } from './kernels/conv2d.ts'
import { layerCases } from './kernels/layers.ts'
import { matmulCases } from './kernels/matmul.ts'
import { networkCases } from './kernels/networks.ts'
import { embeddedRows } from './embedded.ts'
import { familyRows } from './families.ts'
import { learningRows } from './learning.ts'
import { cpuName, machineFacts } from './machine.ts'
import { meter } from './meter.ts'
import { modelRows } from './models.ts'
import { overheadRows } from './overhead.ts'
import { prunedRows } from './pruned.ts'
import { breakEvenRows, patternCases } from './patterns.ts'
import { variantRows } from './variants.ts'
import type { Pattern } from '../src/sparse/pattern.ts'
import { loadPeer, needsWebGpu, type Peer, type PeerName } from './peers.ts'
import { measureRoofline, withRoofline } from './roofline.ts'
import type { BenchReport } from './schema.ts'

/** Groups of cases. */
export type Suite =
  | 'kernels'
  | 'attention'
  | 'patterns'
  | 'variants'
  | 'models'
  | 'pruned'
  | 'learning'
  | 'overhead'
  | 'embedded'

/** What to measure. `only` keeps cases whose name contains one of the words. */
export interface BenchOptions extends Omit<InitOptions, 'profile'>, MeasureOptions {
  suite: Suite
  only?: string[]
  against?: PeerName[]
  /** Batch sizes of the layers of networks; default 1, 8 and, on a GPU, 64; with `quick` 1. */
  batches?: number[]
  /** For the suite 'patterns'; default `defaultPatterns` and `defaultDensities`. */
  patterns?: Pattern[]
  densities?: number[]
  /** Three rounds of 20 ms and one batch size: for a look, not for a figure. */
  quick?: boolean
  /** Milliseconds of `performance.now()` after which no case begins; what is left out is noted. */
  until?: number
  /** 'both' measures in one after the other, where the adapter is not the embedded device, which has but one. */
  profile?: 'browser' | 'native' | 'both'
}

type Profile = 'browser' | 'native'

/**
 * Opens the adapter, checks and times the cases of a suite one after the other.
 * @throws InputError if nothing matches `only` or a peer is missing, NumericError if something computes wrong values.
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { suite, only, against: names = [], quick, onProgress, rounds, msPerRound, profile = 'browser', ...more } =
    options
  const { batches, patterns, densities, until = Infinity, ...where } = more
  const report: BenchReport = {
    suite,
    adapter: '',
    kind: '',
    profile,
    versions: { espalier: packageVersion(), node: process.versions.node },
    machine: machineFacts(),
    date: new Date().toISOString(),
    rows: [],
    rooflines: {},
    breakEven: [],
    tuning: {},
    notes: [],
  }
  if (where.precision) report.notes.push(`precision ${where.precision}`)
  const threads = where.threads ?? availableParallelism()
  if (suite === 'embedded') { // opens several adapters, one after the other
    const { threads = 2 } = where
    const rows = await embeddedRows({ threads, only, onProgress })
    return {
      ...report,
      adapter: `embedded device, ${threads} threads on ${cpuName()}`,
      kind: 'embedded',
      profile: 'browser',
      rows,
    }
  }
  const networks = names.flatMap((name) => name === 'ort' || name === 'ort-web' ? [name] : [])
  if (suite === 'models' && networks.length < names.length) {
    throw new InputError(
      `bench models --against ${names.join(',')}: expected ort or ort-web, the only peers that run whole networks here`,
    )
  }
  const peers: Peer[] = []
  for (const name of names) peers.push(await loadPeer(name, threads))
  for (const { name, version } of peers) report.versions[name] = version
  const timing = { rounds: rounds ?? (quick ? 3 : defaultRounds), msPerRound: msPerRound ?? (quick ? 20 : undefined) }
  const wanted = (name: string) => !only || only.some((word) => name.includes(word))
  // Peers run on dawn or on the cores, so we do too, unless another adapter is asked for.
  const adapter = where.adapter ?? (names.length ? needsWebGpu(names) ? 'dawn' : 'cpu' : undefined)
  for (const one of profile === 'both' ? ['browser', 'native'] as const : [profile]) {
    const opened = await init({ fixedVariants: false, ...where, adapter, profile: one })
    try {
      if (one === 'native' && profile === 'both' && opened.adapter.kind === 'embedded') {
        report.notes.push('the embedded device has one profile: what a page may use is all there is')
        report.profile = 'browser'
        break
      }
      report.adapter = opened.adapter.name
      report.kind = opened.adapter.kind
      const rows = await suiteRows(suite, opened, {
        ...timing,
        wanted,
        only,
        quick,
        until,
        patterns,
        densities,
        peers,
        networks,
        batches: batches ?? defaultBatches(suite, opened, quick),
        threads,
        report,
        onProgress,
      }, one)
      report.rows.push(...rows)
      Object.assign(report.tuning, tuning(opened))
    } finally {
      await close()
    }
  }
  if (!report.rows.length) {
    throw new InputError(
      `bench ${suite}: nothing matches --only ${only?.join(',')}${report.notes.map((note) => `; ${note}`).join('')}`,
    )
  }
  return report
}

/** What a machine has the time for: patterns take turns at six densities. */
function defaultBatches(suite: Suite, { adapter: { kind } }: Gpu, quick = false): number[] {
  if (quick) return [1]
  if (kind === 'gpu') return [1, 8, 64]
  return suite === 'patterns' ? [8] : [1, 8]
}

interface Job extends MeasureOptions, Pick<BenchOptions, 'only' | 'quick' | 'patterns' | 'densities' | 'until'> {
  rounds: number
  wanted: (name: string) => boolean
  peers: readonly Peer[]
  networks: ('ort' | 'ort-web')[]
  batches: readonly number[]
  threads: number
  report: BenchReport
}

/** The rows of a suite on the open device, with their share of its roofs. */
async function suiteRows(suite: Exclude<Suite, 'embedded'>, opened: Gpu, job: Job, profile: Profile): Promise<Row[]> {
  const { wanted, peers, batches, report, onProgress, rounds, msPerRound } = job
  const timing = { rounds, msPerRound, onProgress, until: job.until, notes: report.notes }
  const marked = (rows: readonly Row[]) => rows.map((row) => report.profile === 'both' ? { ...row, profile } : row)
  if (suite === 'overhead') return marked((await overheadRows(timing)).filter(({ name }) => wanted(name)))
  if (suite === 'learning') return marked(await learningRows({ ...timing, wanted, quick: job.quick }))
  if (suite === 'attention') {
    const { only, quick } = job
    const rows = marked(await measureAll('bench attention', attentionGrids({ batches, only, quick }), timing))
    report.breakEven.push(...tokenBreakEvens(rows))
    return rows
  }
  const roofline = report.rooflines[profile] = await measureRoofline({
    onProgress,
    ...msPerRound !== undefined && { msPerRound: Math.min(20, msPerRound) },
  })
  const named = (rows: readonly Row[]) => marked(withRoofline(rows, roofline))
  if (suite === 'models') {
    const networks = { ...timing, wanted, peers: job.networks, threads: job.threads }
    return named([...await modelRows(networks), ...await familyRows({ ...networks, batches })])
  }
  if (suite === 'pruned') return named(await prunedRows({ ...timing, wanted }))
  if (suite === 'patterns') {
    const { only, quick, patterns, densities } = job
    const rows = named(
      await measureAll('bench patterns', patternCases({ only, quick, patterns, densities, batches }), timing),
    )
    report.breakEven.push(...breakEvenRows(rows))
    return rows
  }
  const makers = [matmulCases, attentionCases, convolutionCases, layerCases].flatMap((each): CaseMaker[] => each(peers))
    .filter(({ name }) => wanted(name))
  if (suite === 'variants') return named(await variantRows(makers, timing))
  for (const maker of networkCases(peers, batches)) {
    if (!wanted(maker.name)) continue
    const most = Math.min(opened.limits.maxStorageBufferBindingSize, opened.limits.maxBufferSize)
    if (maker.largest <= most) makers.push(maker)
    else {report.notes.push(
        `${maker.name} is left out: a tensor of ${maker.largest} bytes, a binding takes at most ${most}`,
      )}
  }
  return named(await measureAll(`bench ${suite}`, makers, timing))
}

/** Makes, checks and times cases one after the other; the tuner sees each before it is timed. */
export async function measureAll(
  what: string,
  makers: readonly CaseMaker[],
  { rounds = defaultRounds, msPerRound, onProgress, until = Infinity, notes }: AllOptions = {},
): Promise<Row[]> {
  const rows: Row[] = [], count = meter(what, makers.length, rounds, onProgress)
  for (const [i, { name, make }] of makers.entries()) {
    if (performance.now() > until) {
      notes?.push(`${makers.length - i} of ${makers.length} cases are left out, from ${name} on: out of time`)
      break
    }
    const told = count.begin(i, name), work = await make()
    for (const { run } of work.subjects) await run()
    await tuned()
    rows.push(...await measure(work, { rounds, msPerRound, onProgress: told }))
  }
  return rows
}

// The suites of `espalier bench` (npm run bench -- <suite>): opens an adapter, measures, compares. `embedded` chooses
// its adapters and peers itself.
import { InputError } from '../src/base/errors.ts'
import { close, init, type InitOptions } from '../src/gpu/device.ts'
import { tuned } from '../src/gpu/tune.ts'
import { packageVersion } from '../src/files/package.ts'
import { against, type CaseMaker, jsonRow, measure, type MeasureOptions, type Row, table } from './harness.ts'
import { attentionCases } from './kernels/attention.ts'
import { convolutionCases } from './kernels/conv2d.ts'
import { layerCases } from './kernels/layers.ts'
import { matmulCases } from './kernels/matmul.ts'
import { cpuName, embeddedRows } from './embedded.ts'
import { modelRows } from './models.ts'
import { overheadRows } from './overhead.ts'
import { prunedRows } from './pruned.ts'
import { variantRows } from './variants.ts'
import { loadPeer, type Peer, type PeerName } from './peers.ts'

/** Groups of cases. */
export type Suite = 'kernels' | 'variants' | 'models' | 'pruned' | 'overhead' | 'embedded'

/** What to measure. `only` keeps cases whose name contains one of the words. */
export interface BenchOptions extends InitOptions, MeasureOptions {
  suite: Suite
  only?: string[]
  against?: PeerName[]
}

/** The result of a bench: the shape of `bench --json`, with rows that keep their extra columns. */
export interface BenchReport {
  adapter: string
  versions: Record<string, string>
  profile: string
  rows: Row[]
}

const kernels: readonly ((peers: readonly Peer[]) => CaseMaker[])[] = [
  matmulCases,
  attentionCases,
  convolutionCases,
  layerCases,
]

/**
 * Opens the adapter, checks and times the cases of a suite one after the other.
 * @throws InputError if nothing matches `only` or a peer is missing, NumericError if something computes wrong values.
 */
export async function runBench(
  { suite, only, against: names = [], onProgress, rounds, msPerRound, ...options }: BenchOptions,
): Promise<BenchReport> {
  if (suite === 'embedded') { // opens several adapters, one after the other
    const { threads = 2 } = options
    const rows = await embeddedRows({ threads, only, onProgress }),
      versions = { espalier: packageVersion(), node: process.versions.node }
    return { adapter: `embedded device, ${threads} threads on ${cpuName()}`, versions, profile: 'browser', rows }
  }
  if (suite === 'models' && names.some((name) => name !== 'ort')) {
    throw new InputError(
      `bench models --against ${names.join(',')}: expected ort, the only peer that runs whole networks here`,
    )
  }
  const peers: Peer[] = []
  for (const name of names) peers.push(await loadPeer(name))
  // Peers run on dawn, so we do too, unless another adapter is asked for.
  const { adapter } = await init({
    fixedVariants: false,
    ...options,
    adapter: options.adapter ?? (peers.length ? 'dawn' : undefined),
  })
  const wanted = (name: string) => !only || only.some((word) => name.includes(word))
  const rows: Row[] = []
  try {
    if (suite === 'overhead') {
      rows.push(...(await overheadRows({ rounds, onProgress })).filter(({ name }) => wanted(name)))
    }
    if (suite === 'models') {
      rows.push(
        ...await modelRows({
          wanted,
          ort: names.includes('ort'),
          threads: options.threads,
          rounds,
          msPerRound,
          onProgress,
        }),
      )
    }
    if (suite === 'pruned') rows.push(...await prunedRows({ wanted, rounds, msPerRound, onProgress }))
    const makers = kernels.flatMap((each) => each(peers)).filter(({ name }) => wanted(name))
    if (suite === 'variants') rows.push(...await variantRows(makers, { rounds, msPerRound, onProgress }))
    const cases = suite === 'kernels' ? makers : []
    for (const [i, { make }] of cases.entries()) {
      const work = await make()
      for (const { run } of work.subjects) await run() // first use: lets the tuner see the shape
      await tuned()
      rows.push(
        ...await measure(work, {
          rounds,
          msPerRound,
          onProgress: (what, ...progress) => onProgress?.(`${what} (${i + 1} of ${cases.length})`, ...progress),
        }),
      )
    }
  } finally {
    await close()
  }
  if (!rows.length) throw new InputError(`bench ${suite}: nothing matches --only ${only?.join(',')}`)
  const versions = {
    espalier: packageVersion(),
    node: process.versions.node,
    ...Object.fromEntries(peers.map(({ name, version }) => [name, version])),
  }
  return { adapter: adapter.name, versions, profile: adapter.profile, rows }
}

/** The report as text: the table, and how it compares with the peers. */
export function benchText({ adapter, versions, profile, rows }: BenchReport): string {
  const lines = [
    `adapter: ${adapter}   profile: ${profile}   ${Object.entries(versions).map((pair) => pair.join(' ')).join(', ')}`,
    table(rows),
  ]
  for (const by of ['msMedian', 'msP10'] as const) {
    const ratios = against(rows, by)
    if (!ratios) continue
    lines.push(
      '',
      `times as fast as the fastest peer (${by === 'msMedian' ? 'medians' : 'fastest tenth'}):`,
      ...ratios.cases.map(({ name, shape, peer, ratio }) => `  ${name} ${shape}: ${ratio.toFixed(2)} (${peer})`),
      `  geometric mean: ${ratios.mean.toFixed(2)}`,
    )
  }
  return lines.join('\n')
}

/** The report as the one object that `--json` prints. */
export const jsonReport = ({ rows, ...report }: BenchReport): object => ({ ...report, rows: rows.map(jsonRow) })

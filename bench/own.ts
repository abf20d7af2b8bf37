// `bench` of the entry `espalier/bench`: cases of anybody's, measured and reported as ours are.
import { gpu } from '../src/gpu/device.ts'
import { tuning } from '../src/gpu/tune.ts'
import { packageVersion } from '../src/files/package.ts'
import type { BenchCase, CaseMaker, MeasureOptions } from './harness.ts'
import { machineFacts } from './machine.ts'
import { measureRoofline, withRoofline } from './roofline.ts'
import { measureAll } from './run.ts'
import type { BenchReport } from './schema.ts'

/** How long to measure, and what the suite is called. */
export interface OwnBenchOptions extends MeasureOptions {
  suite?: string
  /** Whether the adapter's roofs are measured first (default), of which rows then have a share. */
  roofline?: boolean
}

/**
 * Checks cases, then times them in turns, on the open device. A case or, where making it takes memory, a maker of one.
 * @throws NumericError naming the implementation whose values are wrong; it is not timed.
 */
export async function bench(
  cases: readonly (BenchCase | CaseMaker)[],
  { suite = 'own', roofline = true, ...timing }: OwnBenchOptions = {},
): Promise<BenchReport> {
  const opened = gpu(), { name, kind, profile } = opened.adapter
  const roofs = roofline ? await measureRoofline({ onProgress: timing.onProgress }) : null
  const makers = cases.map((each): CaseMaker =>
    'make' in each ? each : { name: each.name, make: () => Promise.resolve(each) }
  )
  const rows = await measureAll(`bench ${suite}`, makers, timing)
  return {
    suite,
    adapter: name,
    kind,
    profile,
    versions: { espalier: packageVersion(), node: process.versions.node },
    machine: machineFacts(),
    date: new Date().toISOString(),
    rows: roofs ? withRoofline(rows, roofs) : rows,
    rooflines: roofs ? { [profile]: roofs } : {},
    breakEven: [],
    tuning: tuning(opened),
    notes: [],
  }
}

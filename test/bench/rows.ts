// A report made of given times, for tests of what is made of one.
import type { Row } from '../../bench/harness.ts'
import type { BenchReport } from '../../bench/schema.ts'

/** A row with these times of its rounds. */
export const rowWith = (msRounds: number[], more: Partial<Row> = {}): Row => ({
  suite: 'kernels',
  name: 'matmul',
  shape: '8x8x8',
  impl: 'espalier',
  msMedian: msRounds[msRounds.length >> 1],
  msMad: 0,
  runs: 9,
  gflops: 2,
  gbps: 4,
  maxRelError: 1e-7,
  note: '',
  msP10: msRounds[0],
  msDevice: null,
  msRounds,
  ...more,
})

/** A report of these rows. */
export const reportOf = (rows: Row[], more: Partial<BenchReport> = {}): BenchReport => ({
  suite: 'kernels',
  adapter: 'test adapter',
  kind: 'embedded',
  profile: 'browser',
  versions: { espalier: '0.0.0', node: '24.0.0' },
  machine: { cpu: 'test CPU', cores: 2, node: '24.0.0', platform: 'linux x64', commit: null },
  date: '2026-01-01T00:00:00.000Z',
  rows,
  rooflines: {},
  breakEven: [],
  tuning: {},
  notes: [],
  ...more,
})

// What the command `espalier bench` and the entry `espalier/bench` need of this folder.
export { benchPage } from './html.ts'
export { type Change, compareReports, comparisonText, jsonReport, type RunComparison } from './compare.ts'
export { type BenchCase, type CaseMaker, measure, type MeasureOptions, type Row, type SpeedUp,
  type Subject } from './harness.ts'
export { relativeError } from '../src/base/relative-error.ts'
export { opCase, type OpCaseOptions } from './op-case.ts'
export { bench, type OwnBenchOptions } from './own.ts'
export { type BenchOptions, measureAll, runBench, type Suite } from './run.ts'
export { measureRoofline, type Roofline, underRoof, withRoofline } from './roofline.ts'
export { type BenchReport, type BreakEvenRow, type MachineFacts, readReport, SCHEMA } from './schema.ts'
export { breakEven, type BreakEven, type DensityTimes, type Interval } from './statistics.ts'
export { against, table } from './table.ts'
export { benchText } from './text.ts'

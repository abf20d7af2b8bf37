// The entry `espalier/testing`: checks of an op or kernel of one's own, without a test runner.
export { checkOp, type OpCheck, type OpErrors } from './testing/check-op.ts'
export { type DifferenceOptions, gradientError, numericalGradient, sampleEntries,
  type SampledGradient } from './testing/gradient.ts'
export { observeLaunches, type RaceReport, racesOf } from './testing/races.ts'
export { normalValues, type Reference, type Values, values } from './testing/values.ts'

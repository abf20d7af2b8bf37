/** Derivatives by differences: those of the public checker, which every vjp of ours is compared with as well. */
export { type DifferenceOptions, gradientError, numericalGradient, sampleEntries,
  type SampledGradient } from '../../src/testing/gradient.ts'

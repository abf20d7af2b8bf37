// Search for the composite whose relevance prunes best (Hatefi et al., arXiv 2408.12568): grid, or
// Bayesian optimisation with a Gaussian process over categories. The space is small, so the acquisition looks at all of
// it.
import { random } from '../base/random.ts'

/** A choice for each dimension, as positions in its list of values. */
export type Candidate = readonly number[]

/** All choices, dimension by dimension: name and values. */
export type Space = readonly { name: string, values: readonly string[] }[]

/** Rules per depth group, softmax handling (transformers only), and how readings of images are put together. */
export function compositeSpace(transformer: boolean): Space {
  const rules = ['epsilon', 'z-plus', 'gamma', 'alpha2-beta1']
  return [
    ...['low', 'middle', 'high', 'classifier'].map((name) => ({ name, values: rules })),
    ...transformer ? [{ name: 'softmax', values: ['attn-lrp', 'cp-lrp', 'z-plus', 'z-plus-bias'] }] : [],
    { name: 'aggregation', values: ['mean-of-abs', 'signed'] },
  ]
}

/**
 * Every candidate, the last dimension running fastest; the first one takes the first value everywhere (plain epsilon).
 */
export function allCandidates(space: Space): Candidate[] {
  return space.reduce<Candidate[]>((list, { values }) => list.flatMap((head) => values.map((_, i) => [...head, i])), [
    [],
  ])
}

/** What was found at a candidate. */
export interface Observation {
  candidate: Candidate
  value: number
}

/**
 * The candidate to look at next, or null when all are known. `grid` goes through them in an order drawn by the seed
 * after the first; `bayes` starts like that and after `start` observations takes the largest expected improvement of a
 * Gaussian process. A function of its arguments alone, so a search that was interrupted goes on as it would have.
 */
export function nextCandidate(
  space: Space,
  seen: readonly Observation[],
  { strategy, seed, start = 6 }: { strategy: 'grid' | 'bayes', seed: number, start?: number },
): Candidate | null {
  const known = new Set(seen.map(({ candidate }) => candidate.join()))
  const left = allCandidates(space).filter((candidate) => !known.has(candidate.join()))
  if (!left.length) return null
  if (!seen.length) return left[0]
  if (strategy === 'grid' || seen.length < start) {
    return left[random(seed, `candidate ${seen.length}`).integer(left.length)]
  }
  const process = fitProcess(seen), best = Math.max(...seen.map(({ value }) => value))
  const gains = left.map((candidate) => expectedImprovement(process.predict(candidate), best))
  return left[gains.indexOf(Math.max(...gains))]
}

/**
 * A Gaussian process over categories: prior mean that of the observations, covariance exp(-differing dimensions /
 * length), noise 1 % of the variance.
 */
export interface GaussianProcess {
  length: number
  predict(candidate: Candidate): { mean: number, deviation: number }
}

const noise = 0.01, lengths = [0.5, 1, 2, 4, 8]

/** Fits the length by the likelihood of the observations. */
export function fitProcess(seen: readonly Observation[]): GaussianProcess {
  const mean = seen.reduce((sum, { value }) => sum + value, 0) / seen.length
  const spread = Math.sqrt(seen.reduce((sum, { value }) => sum + (value - mean) ** 2, 0) / seen.length) || 1
  const y = seen.map(({ value }) => (value - mean) / spread)
  const fits = lengths.map((length) => {
    const kernel = (a: Candidate, b: Candidate) => Math.exp(-a.filter((value, i) => value !== b[i]).length / length)
    const lower = cholesky(
      seen.map((a, i) => seen.map((b, j) => kernel(a.candidate, b.candidate) + (i === j ? noise : 0))),
    )
    const weights = solveUpper(lower, solveLower(lower, y))
    const likelihood = -0.5 * y.reduce((sum, value, i) => sum + value * weights[i], 0)
      - lower.reduce((sum, row, i) => sum + Math.log(row[i]), 0)
    return { length, kernel, lower, weights, likelihood }
  })
  const { length, kernel, lower, weights } = fits.reduce((a, b) => b.likelihood > a.likelihood ? b : a)
  return {
    length,
    predict(candidate) {
      const covariance = seen.map((each) => kernel(each.candidate, candidate)),
        explained = solveLower(lower, covariance)
      const variance = Math.max(1e-12, 1 - explained.reduce((sum, value) => sum + value ** 2, 0))
      return {
        mean: mean + spread * covariance.reduce((sum, value, i) => sum + value * weights[i], 0),
        deviation: spread * Math.sqrt(variance),
      }
    },
  }
}

/** Expected improvement over the best value so far, for a normal prediction. */
export function expectedImprovement({ mean, deviation }: { mean: number, deviation: number }, best: number): number {
  const z = (mean - best) / deviation
  return (mean - best) * normalBelow(z) + deviation * Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI)
}

/** The normal distribution function by Abramowitz and Stegun 7.1.26, good to 1e-7. */
function normalBelow(z: number): number {
  const x = Math.abs(z) / Math.SQRT2, t = 1 / (1 + 0.3275911 * x)
  const erf = 1
    - t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
      * Math.exp(-x * x)
  return 0.5 * (1 + Math.sign(z) * erf)
}

/** L of A = L L^T, for a positive definite A. */
function cholesky(a: readonly (readonly number[])[]): number[][] {
  const lower = a.map(() => new Array<number>(a.length).fill(0))
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i][j]
      for (let k = 0; k < j; k++) sum -= lower[i][k] * lower[j][k]
      lower[i][j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / lower[j][j]
    }
  }
  return lower
}

function solveLower(lower: readonly (readonly number[])[], y: readonly number[]): number[] {
  const x: number[] = []
  for (let i = 0; i < y.length; i++) {
    x.push((y[i] - x.reduce((sum, value, k) => sum + lower[i][k] * value, 0)) / lower[i][i])
  }
  return x
}

function solveUpper(lower: readonly (readonly number[])[], y: readonly number[]): number[] {
  const x = new Array<number>(y.length).fill(0)
  for (let i = y.length - 1; i >= 0; i--) {
    let sum = y[i]
    for (let k = i + 1; k < y.length; k++) sum -= lower[k][i] * x[k]
    x[i] = sum / lower[i][i]
  }
  return x
}

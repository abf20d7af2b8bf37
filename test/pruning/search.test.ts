// Bayesian search over categories: the process against its closed form, and a search that finds a planted optimum
// sooner than chance.
import { describe, expect, test } from 'vitest'
import { allCandidates, type Candidate, compositeSpace, expectedImprovement, fitProcess, nextCandidate,
  type Observation } from '../../src/pruning/search.ts'

describe('search', () => {
  const space = compositeSpace(true)
  test('the space of the paper', () => {
    expect(allCandidates(compositeSpace(false))).toHaveLength(512)
    expect(allCandidates(space)).toHaveLength(4 ** 4 * 4 * 2)
    expect(new Set(allCandidates(space).map(String)).size).toBe(2048)
    expect(nextCandidate(space, [], { strategy: 'bayes', seed: 0 })).toEqual([0, 0, 0, 0, 0, 0])
  })

  test('one observation: mean and deviation in closed form', () => {
    const process = fitProcess([{ candidate: [0, 0], value: 1 }, { candidate: [1, 1], value: 3 }])
    const far = Math.exp(-1 / process.length), k = Math.exp(-2 / process.length)
    // Both observations are one step from [0, 1]: by symmetry the mean is the prior's, the variance 1 - 2 far^2 / (1.01
    // + k).
    const { mean, deviation } = process.predict([0, 1])
    expect(mean).toBeCloseTo(2, 9)
    expect(deviation).toBeCloseTo(Math.sqrt(1 - 2 * far * far / (1.01 + k)), 9)
    expect(process.predict([0, 0]).mean).toBeLessThan(1.2)
  })

  test('expected improvement', () => {
    expect(expectedImprovement({ mean: 0, deviation: 1 }, 0)).toBeCloseTo(1 / Math.sqrt(2 * Math.PI), 6)
    expect(expectedImprovement({ mean: 5, deviation: 1e-6 }, 3)).toBeCloseTo(2, 6)
    expect(expectedImprovement({ mean: -9, deviation: 1 }, 0)).toBeLessThan(1e-6)
  })

  const value = (candidate: Candidate) =>
    [3, 1, 2, 0, 1, 1].reduce((sum, wanted, i) => sum + Number(candidate[i] === wanted), 0)
  const searched = (strategy: 'bayes' | 'grid', seed: number) => {
    const seen: Observation[] = []
    while (seen.length < 30) {
      const candidate = nextCandidate(space, seen, { strategy, seed })!
      seen.push({ candidate, value: value(candidate) })
    }
    return seen
  }
  test('finds a planted optimum, never looks twice, and goes on after an interruption as it would have', () => {
    const bests = [0, 1, 2].map((seed) => Math.max(...searched('bayes', seed).map((each) => each.value)))
    const chance = [0, 1, 2].map((seed) => Math.max(...searched('grid', seed).map((each) => each.value)))
    expect(Math.min(...bests)).toBeGreaterThanOrEqual(5)
    expect(bests.reduce((a, b) => a + b)).toBeGreaterThan(chance.reduce((a, b) => a + b))
    const seen = searched('bayes', 1)
    expect(new Set(seen.map(({ candidate }) => candidate.join())).size).toBe(30)
    expect(nextCandidate(space, seen.slice(0, 12), { strategy: 'bayes', seed: 1 })).toEqual(seen[12].candidate)
  })

  test('an exhausted space ends the search', () => {
    const tiny = [{ name: 'a', values: ['x', 'y'] }]
    expect(
      nextCandidate(tiny, [{ candidate: [0], value: 1 }, { candidate: [1], value: 2 }], { strategy: 'grid', seed: 0 }),
    ).toBeNull()
  })
})

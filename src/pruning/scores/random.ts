// Scores drawn at random: what every criterion must beat.
import { fillUniform } from '../../base/random.ts'
import type { Criteria, ImportanceCriterion } from './criterion.ts'

/** Uniform scores, a function of the seed and the unit's name. */
export const random: ImportanceCriterion = {
  images: false,
  score: ({ units, seed }) =>
    Promise.resolve(
      new Map(units.map(({ name, size }) => [name, fillUniform(new Float32Array(size), seed, `score ${name}`)])),
    ),
  weights: ({ sites, values, seed }) =>
    Promise.resolve(
      new Map(sites.map(({ path }) => [
        path,
        fillUniform(new Float32Array(values.get(path)!.length), seed, `score ${path}`),
      ])),
    ),
}

/** By name. */
export const criteria: Criteria = {
  'random': { summary: 'chance, by the seed', ...random },
}

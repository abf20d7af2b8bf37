// What every importance criterion is: a model, its units and reference images to a vector per unit. The less an element
// scores, the sooner it goes.
import { meansOf, oneHot, softmaxSites, sumUnits } from '../../attribution/relevance.ts'
import type { Aggregation, AttributionMethod, ScoreSums } from '../../attribution/relevance.ts'
import { InputError, NumericError } from '../../base/errors.ts'
import type { Model } from '../../nn/model.ts'
import type { Dataset } from '../../data/datasets.ts'
import { tensor } from '../../core/tensor.ts'
import type { EntryScores } from '../../sparse/choose.ts'
import type { MatrixShape } from '../../sparse/pattern.ts'
import type { WeightSite } from '../../sparse/sites.ts'
import type { Tile } from '../../sparse/tiles.ts'
import type { Unit } from '../units/units.ts'

/** One vector per unit, of the unit's size. */
export type Scores = ReadonlyMap<string, Float32Array>

/** What a criterion is given. */
export interface Scoring {
  model: Model
  units: readonly Unit[]
  /** Images with labels; null where a criterion of weights alone has none to read. */
  references: Dataset | null
  classes: number
  batch: number
  seed: number
  /** How images are put together; `mean-of-abs` is that of the published code of Pruning by eXplaining. */
  aggregation: Aggregation
  /** Called with the number of images done. */
  onProgress?: (images: number) => void
}

/** What a criterion of weights is given. */
export interface WeightScoring extends Omit<Scoring, 'units'> {
  sites: readonly WeightSite[]
  /** The weights on the host, by path. */
  values: ReadonlyMap<string, Float32Array>
  /** Rows and columns of what is kept or dropped together, of a weight of this shape. */
  tile(shape: MatrixShape): Tile
}

/** An importance criterion: what units are pruned by. */
export interface ImportanceCriterion {
  /** Whether it looks at reference images. */
  readonly images: boolean
  score(scoring: Scoring): Promise<Scores>
  /** The same in two steps, where scores follow from sums over images: then many machines can share the images. */
  readonly parts?: ScoreParts
  /** The same of single weights, for sparsity patterns; criteria that know only units have none. */
  weights?(scoring: WeightScoring): Promise<EntryScores>
}

/** Scores by way of sums over images; `score` is both in turn. */
export interface ScoreParts {
  /** What the references say, summed up. Sums of parts of the references add up to those of all. */
  sum(scoring: Scoring): Promise<ScoreSums>
  /** What sums come to; `references` of the scoring are not read. @throws InputError for those of another network. */
  scores(scoring: Scoring, sums: ScoreSums): Promise<Scores>
}

/** A criterion that scores by sums over images. */
export const inParts = (parts: ScoreParts): Pick<ImportanceCriterion, 'images' | 'score' | 'parts'> => ({
  images: true,
  score: async (scoring) => parts.scores(scoring, await parts.sum(scoring)),
  parts,
})

/** What a file of this folder exports as `criteria`: by the name that `--method` takes, with a line for the help. */
export type Criteria = Readonly<Record<string, ImportanceCriterion & { readonly summary: string }>>

/** How gates are read. */
export interface GateReading {
  /** Heads at the softmax, as Pruning by eXplaining does. */
  softmax?: boolean
  /** Stands over the caller's. */
  aggregation?: Aggregation
}

/**
 * Scores read at the gates by an attribution method: per image, put together as `aggregation` says, summed over the
 * gates of a unit.
 */
export const atGates = (method: AttributionMethod, reading: GateReading = {}) =>
  inParts({
    sum: (scoring) => sumGates(scoring, method, reading),
    scores: (scoring, sums) => Promise.resolve(gateScores(scoring, sums, reading)),
  })

/** Sums of what is read at the gates of the units. */
export async function sumGates(
  scoring: Scoring,
  method: AttributionMethod,
  { softmax = false, aggregation = scoring.aggregation }: GateReading,
): Promise<ScoreSums> {
  const { images, sums } = await sumUnits(scoring.model, batchesOf(scoring), method, { aggregation, softmax })
  // Gates that no unit asks about are left out: sums lie in files.
  const read = scoring.units.flatMap(({ gates }) => gates.map(({ path }) => siteOf(sums, path, scoring.model, softmax)))
  return { images, sums: new Map([...sums].filter(([path]) => read.includes(path))) }
}

/** What they come to. @throws InputError for sums of other gates. */
export function gateScores(
  scoring: Scoring,
  sums: ScoreSums,
  { softmax = false, aggregation = scoring.aggregation }: GateReading,
): Scores {
  return toUnits(scoring, meansOf(sums, aggregation), softmax)
}

/** The reference images. @throws InputError if there are none. */
export function referencesOf({ references }: Pick<Scoring, 'references'>): Dataset {
  if (references) return references
  throw new InputError(
    'this criterion scores by images with labels, and was given none; give reference images (--data)',
  )
}

/** The references as batches on the device; whoever reads them frees them. */
export async function* batchesOf(scoring: Omit<Scoring, 'units'>) {
  const { classes, batch, onProgress } = scoring
  let done = 0
  for await (const { images, shape, labels } of referencesOf(scoring).batches({ size: batch })) {
    yield { images: tensor(images, shape), targets: oneHot(labels, classes) }
    done += shape[0]
    onProgress?.(done)
  }
}

/** Where a gate was read: at its softmax if that is among what was read. */
function siteOf(read: ReadonlyMap<string, unknown>, path: string, model: Model, softmax: boolean): string {
  const site = softmax ? softmaxSites(model).get(path) : undefined
  return site !== undefined && read.has(site) ? site : path
}

/** Vectors of gates as vectors of units. @throws InputError where a gate has none of its length. */
function toUnits({ model, units }: Scoring, gates: ReadonlyMap<string, Float32Array>, softmax: boolean): Scores {
  return new Map(units.map(({ name, size, shape, gates: members }) => {
    const score = new Float32Array(size)
    for (const { path, element } of members) {
      const dim = shape.at(-1)!, values = gates.get(siteOf(gates, path, model, softmax))
      if (!values || values.length % element.length !== 0 || values.length / element.length * dim > size) {
        throw new InputError(
          `${name}: expected sums of its gate ${path}, found ${values?.length ?? 'none'} for ${size} elements; they `
            + 'are of another network, or of other units',
        )
      }
      values.forEach((value, i) => {
        score[Math.floor(i / element.length) * dim + element[i % element.length]] += value
      })
    }
    return [name, score]
  }))
}

/** @throws NumericError naming the element that has no number. */
export function checkScores(scores: Scores): Scores {
  for (const [name, values] of scores) {
    const bad = values.findIndex((value) => !Number.isFinite(value))
    if (bad >= 0) {
      throw new NumericError(
        `score of ${name}, element ${bad}, is ${values[bad]}; its weights or activations are damaged`,
      )
    }
  }
  return scores
}

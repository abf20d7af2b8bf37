// What every importance criterion is: a model, its units and reference images to a vector per unit. The less an element
// scores, the sooner it goes.
import { oneHot, scoreUnits, softmaxSites } from '../../attribution/relevance.ts'
import type { Aggregation, AttributionMethod } from '../../attribution/relevance.ts'
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
  /** The same of single weights, for sparsity patterns; criteria that know only units have none. */
  weights?(scoring: WeightScoring): Promise<EntryScores>
}

/** What a file of this folder exports as `criteria`: by the name that `--method` takes, with a line for the help. */
export type Criteria = Readonly<Record<string, ImportanceCriterion & { readonly summary: string }>>

/**
 * Scores read at the gates by an attribution method: per image, put together as `aggregation` says, summed over the
 * gates of a unit. Heads are read at the softmax where `softmax` says so, as Pruning by eXplaining does.
 */
export async function readGates(
  scoring: Scoring,
  method: AttributionMethod,
  { softmax = false, aggregation = scoring.aggregation } = {},
): Promise<Scores> {
  return toUnits(
    scoring,
    await scoreUnits(scoring.model, batchesOf(scoring), method, { aggregation, softmax }),
    softmax,
  )
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

/** Vectors of gates as vectors of units. */
function toUnits({ model, units }: Scoring, gates: ReadonlyMap<string, Float32Array>, softmax: boolean): Scores {
  const sites = softmax ? softmaxSites(model) : new Map<string, string>()
  return new Map(units.map(({ name, size, shape, gates: members }) => {
    const score = new Float32Array(size)
    for (const { path, element } of members) {
      const values = gates.get(sites.get(path) ?? path) ?? gates.get(path)!
      const dim = shape.at(-1)!
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

// The graph of heads as an importance criterion: heads by their place in the graph of their layer, other units by
// another criterion.
import { InputError } from '../../base/errors.ts'
import { criteriaByFile } from '../criteria.generated.ts'
import { correlationsOf, sumCorrelations } from '../graph/correlation.ts'
import { graphOptions, headGraphs, type HeadGraphs, type GraphSettings, headScores } from '../graph/head-rank.ts'
import { type KnownOption, optionReader } from '../learning/settings.ts'
import { checkScores, type Criteria, type ImportanceCriterion, inParts, referencesOf, type Scores,
  type Scoring } from '../scores/criterion.ts'
import { byCriterion } from './by-criterion.ts'
import type { Method, Methods } from './method.ts'

const others = Object.assign({}, ...Object.values(criteriaByFile)) as Criteria

const options: Readonly<Record<string, KnownOption>> = {
  ...graphOptions,
  'others': {
    summary: `what units that are no heads are scored by: ${Object.keys(others).join(', ')}`,
    default: 'magnitude',
    words: Object.keys(others),
  },
}

/** How the graph is read, from options. @throws InputError. */
export function graphSettingsOf(given: Readonly<Record<string, string>>): GraphSettings {
  const { word, number } = optionReader(graphOptions, given)
  return {
    direction: word('direction'),
    source: word('source'),
    diagonal: word('diagonal') === 'keep',
    damping: number('damping'),
  }
}

/** Scores of each unit over their mean absolute value, so that units whose scores are of other kinds compare. */
export const scaledToMean = (scores: Scores): Scores =>
  new Map([...scores].map(([name, values]) => {
    const mean = values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length
    return [name, mean > 0 ? values.map((value) => value / mean) : values]
  }))

/**
 * The criterion: heads by the graph, all else by another criterion, each unit's scores with a mean of 1. @throws
 * InputError for options that cannot be, and where there are no heads. `onGraph` gets the graph of each scoring.
 */
export function byGraph(
  given: Readonly<Record<string, string>>,
  onGraph?: (graph: HeadGraphs) => void,
): ImportanceCriterion {
  const set = graphSettingsOf(given), other = others[optionReader(options, given).word('others')]
  const split = ({ units }: Scoring) => {
    const heads = units.filter(({ kind }) => kind === 'heads'), rest = units.filter(({ kind }) => kind !== 'heads')
    if (heads.length) return { heads, rest }
    throw new InputError('graph: ranks heads, and none may go; choose another method, or units with heads')
  }
  return inParts({
    async sum(scoring) {
      const { heads, rest } = split(scoring), { model, batch, onProgress } = scoring, images = referencesOf(scoring)
      const own = await sumCorrelations({ model, units: heads, images, batch, source: set.source, onProgress })
      const more = rest.length ? await other.parts?.sum({ ...scoring, units: rest }) : undefined
      return {
        images: own.images,
        sums: new Map([
          ...[...own.sums].map(([name, sum]) => [`${OF_GRAPH}${name}`, sum] as const),
          ...more?.sums ?? [],
        ]),
      }
    },
    async scores(scoring, { images, sums }) {
      const { heads, rest } = split(scoring)
      const own = new Map(heads.flatMap(({ name }) => {
        const sum = sums.get(`${OF_GRAPH}${name}`)
        return sum ? [[name, sum]] : []
      }))
      const layers = await headGraphs(correlationsOf(heads, own), set), ranks = headScores(layers)
      onGraph?.({ ...set, images, layers })
      const scored = { ...scoring, units: rest }
      const scores = rest.length
        ? scaledToMean(await (other.parts?.scores(scored, { images, sums }) ?? other.score(scored)))
        : new Map<string, Float32Array>()
      return checkScores(new Map(scoring.units.map(({ name }) => [name, (ranks.get(name) ?? scores.get(name))!])))
    },
  })
}

/** Units of heads are named like gates, which other criteria sum up. */
const OF_GRAPH = 'graph of '

/** The graph of heads as a method. */
export const graph: Method = {
  ...byCriterion(byGraph({}), 'heads by a random walk over how alike they are (GOHSP, arXiv 2301.05345)'),
  options,
  criterionWith: byGraph,
  async prune(job) {
    const graphs: HeadGraphs[] = []
    const pruned = await byCriterion(byGraph(job.options, (each) => graphs.push(each)), '').prune(job)
    return { ...pruned, graph: graphs[0] } // of the dense network, where there are several steps
  },
}

/** By name. */
export const methods: Methods = { graph }

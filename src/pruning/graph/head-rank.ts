// Heads by their place in the graph of their layer: GOHSP's ranking (Yin et al., arXiv 2301.05345). The public record
// leaves open what is correlated and in which direction the rank is read, hence the switches.
import { tensor } from '../../core/tensor.ts'
import type { MethodOption } from '../methods/method.ts'
import { checkScores, type Scores } from '../scores/criterion.ts'
import type { HeadCorrelation } from './correlation.ts'
import { type CorrelationSource, correlationSources } from './correlation.ts'
import { stationary, transition } from './markov.ts'

/** Which heads matter: those that many are like, or those that few are like. */
export const directions = ['central-first', 'distinct-first'] as const

/** How heads are ranked. */
export interface GraphSettings {
  direction: typeof directions[number]
  source: CorrelationSource
  diagonal: boolean
  damping: number
}

/** The options of the graph, for every method that has one. */
export const graphOptions = {
  'direction': {
    summary: 'keep heads that many are like (central-first) or few (distinct-first)',
    default: 'central-first',
    words: directions,
  },
  'source': {
    summary: 'what of heads is compared: attention maps or outputs',
    default: 'maps',
    words: correlationSources,
  },
  'diagonal': {
    summary: 'keep or zero: whether a head has an edge to itself',
    default: 'keep',
    words: ['keep', 'zero'],
  },
  'damping': { summary: 'share of the walk that follows edges; the rest goes anywhere', default: '1', range: [0, 1] },
} as const satisfies Record<string, MethodOption & { words?: readonly string[], range?: readonly [number, number] }>

/** The graph of one layer: matrices [H, H] row by row, vectors [H]. */
export interface HeadGraph {
  /** The unit whose elements are the heads. */
  unit: string
  heads: number
  /** S: how alike heads are. */
  correlation: Float32Array
  /** P: where a step from a head leads. */
  transition: Float32Array
  /** pi: where the walk is in the long run. */
  stationary: Float32Array
  /** H pi, so that the mean of a layer is 1, or its mirror image 2 - H pi for `distinct-first`. */
  importance: Float32Array
}

/** The graphs of a network, with how they were made. */
export interface HeadGraphs extends GraphSettings {
  /** How many images they are of. */
  images: number
  /** In the order of the network. */
  layers: readonly HeadGraph[]
}

/** The importance of every head of every graph. */
export const headScores = (graphs: readonly HeadGraph[]): Scores =>
  checkScores(new Map(graphs.map(({ unit, importance }) => [unit, importance])))

/** The graph of every layer, in the order of the correlations. Layers with as many heads are walked at once. */
export async function headGraphs(
  correlations: ReadonlyMap<string, HeadCorrelation>,
  { direction, diagonal, damping }: Omit<GraphSettings, 'source'>,
): Promise<HeadGraph[]> {
  const found = new Map<string, HeadGraph>()
  for (const heads of new Set([...correlations.values()].map((each) => each.heads))) {
    const own = [...correlations].filter(([, each]) => each.heads === heads)
    const edges = tensor(Float32Array.from(own.flatMap(([, { values }]) => [...values])), [own.length, heads, heads])
    const steps = transition(edges, { diagonal, damping })
    edges.dispose()
    const [pi, transitions] = await Promise.all([stationary(steps), steps.data()]).finally(() => {
      steps.dispose()
    })
    own.forEach(([unit, { values }], i) => {
      const rank = pi.slice(i * heads, (i + 1) * heads)
      found.set(unit, {
        unit,
        heads,
        correlation: values,
        transition: Float32Array.from(transitions.slice(i * heads ** 2, (i + 1) * heads ** 2)),
        stationary: rank,
        importance: rank.map((value) => direction === 'central-first' ? heads * value : 2 - heads * value),
      })
    })
  }
  return [...correlations.keys()].map((unit) => found.get(unit)!)
}

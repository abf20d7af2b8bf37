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

/**
 * The importance of every head: H pi, so that the mean of a layer is 1, or its mirror image 2 - H pi for
 * `distinct-first`. Layers with as many heads are walked at once.
 */
export async function rankHeads(
  correlations: ReadonlyMap<string, HeadCorrelation>,
  { direction, diagonal, damping }: Omit<GraphSettings, 'source'>,
): Promise<Scores> {
  const scores = new Map<string, Float32Array>([...correlations.keys()].map((name) => [name, new Float32Array()]))
  for (const heads of new Set([...correlations.values()].map((each) => each.heads))) {
    const own = [...correlations].filter(([, each]) => each.heads === heads)
    const edges = tensor(Float32Array.from(own.flatMap(([, { values }]) => [...values])), [own.length, heads, heads])
    const steps = transition(edges, { diagonal, damping })
    edges.dispose()
    const pi = await stationary(steps).finally(() => {
      steps.dispose()
    })
    own.forEach(([name], i) => {
      const rank = pi.slice(i * heads, (i + 1) * heads)
      scores.set(name, rank.map((value) => direction === 'central-first' ? heads * value : 2 - heads * value))
    })
  }
  return checkScores(scores)
}

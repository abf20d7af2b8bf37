// The options of GOHSP: what `--set` takes, with defaults, and as numbers and words.
import { InputError } from '../../../base/errors.ts'
import { graphOptions, type GraphSettings } from '../../graph/head-rank.ts'
import { type KnownOption, optionReader } from '../../learning/settings.ts'
import { graphSettingsOf } from '../graph.ts'

const teachings = ['none', 'soft', 'hard'] as const

/** Settings of all stages. */
export interface Settings {
  graph: GraphSettings
  graphImages: number
  /** What heads are ranked by. */
  ranking: 'graph' | 'magnitude' | 'random'
  /** The share of the heads or neurons that stays; null where it follows from the budget. */
  heads: number | null
  neurons: number | null
  headSpread: 'uniform' | 'global'
  neuronSpread: 'uniform' | 'global'
  soft: 'admm' | 'mask'
  epochs: number
  rate: number
  decay: number
  rho: number
  rhoGrowth: number
  rhoCap: number
  /** Steps between projections; 0 for an epoch. */
  every: number
  tolerance: number
  distill: typeof teachings[number]
  temperature: number
}

const spread = ['uniform', 'global'] as const

/** Every option: what the help prints, and what is allowed. */
export const options: Readonly<Record<string, KnownOption>> = {
  'ranking': {
    summary: 'what heads are ranked by: graph, magnitude or random',
    default: 'graph',
    words: ['graph', 'magnitude', 'random'],
  },
  ...graphOptions,
  'graph-images': { summary: 'images whose attention makes the graph', default: '256', range: [1, 1e6] },
  'heads': {
    summary: 'share of the heads that stays; auto: that of the budget',
    default: 'auto',
    words: ['auto'],
    range: [0, 1],
  },
  'neurons': {
    summary: 'share of the neurons that stays; auto: what the budget leaves',
    default: 'auto',
    words: ['auto'],
    range: [0, 1],
  },
  'head-spread': {
    summary: 'uniform: the same share of the heads of every layer; global: the least of all layers go',
    default: 'uniform',
    words: spread,
  },
  'neuron-spread': { summary: 'the same for neurons, by their norms', default: 'uniform', words: spread },
  'soft': {
    summary: 'admm, or mask: the penalty alone, on what is to go, without duals',
    default: 'admm',
    words: ['admm', 'mask'],
  },
  'soft-epochs': { summary: 'epochs of soft pruning; 0 cuts at once', default: '30', range: [0, 1e5] },
  'soft-rate': { summary: 'its learning rate', default: '5e-4', range: [0, 100] },
  'soft-decay': { summary: 'its weight decay', default: '0.05', range: [0, 100] },
  'rho': { summary: 'weight of the penalty at first', default: '1e-3', range: [1e-12, 1e9] },
  'rho-growth': { summary: 'factor of rho at each projection', default: '1.1', range: [1, 1e3] },
  'rho-cap': { summary: 'rho grows up to this many times its start', default: '10', range: [1, 1e9] },
  'every': { summary: 'steps between projections; 0 for an epoch', default: '0', range: [0, 1e9] },
  'tolerance': { summary: 'stops where |W - Z| / |W| is below', default: '0.01', range: [0, 1] },
  'distill': { summary: 'learn from the dense network too: none, soft, hard', default: 'none', words: teachings },
  'temperature': { summary: 'of soft distillation', default: '1', range: [1e-3, 1e3] },
}

/** Those that mean something where Z is projected onto a sparsity pattern. */
export const patternOptions: readonly string[] = [
  'soft',
  'soft-epochs',
  'soft-rate',
  'soft-decay',
  'rho',
  'rho-growth',
  'rho-cap',
  'every',
  'tolerance',
  'distill',
  'temperature',
]

/** Reads them. @throws InputError naming the option, what it may be and what it is. */
export function settingsOf(given: Readonly<Record<string, string>>): Settings {
  const { word, number, whole } = optionReader(options, given)
  const share = (name: string) => (given[name] ?? options[name].default) === 'auto' ? null : number(name)
  const heads = share('heads'), neurons = share('neurons')
  if (heads !== null && neurons !== null) {
    throw new InputError(
      `--set heads=${heads} and neurons=${neurons}: one of them follows from the budget; leave one at auto`,
    )
  }
  return {
    graph: graphSettingsOf(given),
    graphImages: whole('graph-images'),
    ranking: word('ranking'),
    heads,
    neurons,
    headSpread: word('head-spread'),
    neuronSpread: word('neuron-spread'),
    soft: word('soft'),
    epochs: whole('soft-epochs'),
    rate: number('soft-rate'),
    decay: number('soft-decay'),
    rho: number('rho'),
    rhoGrowth: number('rho-growth'),
    rhoCap: number('rho-cap'),
    every: whole('every'),
    tolerance: number('tolerance'),
    distill: word('distill'),
    temperature: number('temperature'),
  }
}

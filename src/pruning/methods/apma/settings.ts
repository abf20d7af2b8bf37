// The options of APMA: what `--set` takes, with defaults.
import { type KnownOption, optionReader } from '../../learning/settings.ts'

const starts = ['leave-one-out', 'single-channel', 'weights', 'relevance', 'taylor', 'uniform'] as const
const teachings = ['none', 'soft', 'hard'] as const
const switches = ['on', 'off'] as const
const indices = ['per-head', 'shared'] as const
const reweights = ['scale', 'se', 'none'] as const

/** How scores start. */
export type Start = typeof starts[number]

/** Settings of calibration and search. */
export interface Settings {
  searchEpochs: number
  weightRate: number
  scoreRate: number
  lambda: number
  dualRate: number
  freeze: number
  freezeAfter: number
  init: Start
  calibrationImages: number
  similarity: boolean
  momentum: number
  adjust: boolean
  vIndex: typeof indices[number]
  reweight: boolean
  /** Reweights by what the image gives, while it searches. */
  excitation: boolean
  distill: typeof teachings[number]
  temperature: number
}

/** Every option: what the help prints, and what is allowed. */
export const options: Readonly<Record<string, KnownOption>> = {
  'search-epochs': { summary: 'epochs of learning scores and weights together', default: '10', range: [0, 1e5] },
  'weight-rate': { summary: 'learning rate of weights', default: '1e-4', range: [0, 100] },
  'score-rate': { summary: 'learning rate of scores', default: '0.01', range: [0, 100] },
  'lambda': { summary: 'weight of the squared distance from the budget, in shares', default: '10', range: [0, 1e9] },
  'dual-rate': {
    summary: 'step of the multiplier up its gradient; 0: the square alone',
    default: '0.1',
    range: [0, 1e6],
  },
  'freeze': { summary: 'masks are frozen this close to the budget', default: '0.01', range: [0, 1] },
  'freeze-after': { summary: 'but not before this share of the epochs', default: '0.5', range: [0, 1] },
  'init': { summary: `${starts.join(', ')}: by what scores start`, default: 'leave-one-out', words: starts },
  'calibration-images': { summary: 'images for start and similarity', default: '64', range: [1, 1e6] },
  'similarity': { summary: 'on, off: weigh scores by how unlike a channel is', default: 'on', words: switches },
  'momentum': { summary: 'of the running average of similarity weights', default: '0.9', range: [0, 1] },
  'adjust': { summary: 'on, off: heads of a layer keep equal shares while they learn', default: 'on', words: switches },
  'v-index': { summary: 'per-head, shared: indices of value channels', default: 'per-head', words: indices },
  'reweight': {
    summary: 'scale: a factor of each channel of attention, folded in the end; se: squeeze-excitation while it '
      + 'searches, of which the mean scale is folded; none',
    default: 'scale',
    words: reweights,
  },
  'distill': { summary: 'learn from the dense network too: none, soft, hard', default: 'none', words: teachings },
  'temperature': { summary: 'of soft distillation', default: '1', range: [1e-3, 1e3] },
}

/** Reads them. @throws InputError naming the option, what it may be and what it is. */
export function settingsOf(given: Readonly<Record<string, string>>): Settings {
  const { word, number, whole } = optionReader(options, given), on = (name: string) => word(name) === 'on'
  return {
    searchEpochs: whole('search-epochs'),
    weightRate: number('weight-rate'),
    scoreRate: number('score-rate'),
    lambda: number('lambda'),
    dualRate: number('dual-rate'),
    freeze: number('freeze'),
    freezeAfter: number('freeze-after'),
    init: word('init'),
    calibrationImages: whole('calibration-images'),
    similarity: on('similarity'),
    momentum: number('momentum'),
    adjust: on('adjust'),
    vIndex: word('v-index'),
    reweight: word('reweight') !== 'none',
    excitation: word('reweight') === 'se',
    distill: word('distill'),
    temperature: number('temperature'),
  }
}

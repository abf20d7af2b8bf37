// The options of X-Pruner: what `--set` takes, with defaults, and as numbers and words.
import { type KnownOption, optionReader } from '../../learning/settings.ts'
import { type Normalisation, normalisations } from './scores.ts'
import { type Smoothness, smoothnesses, type Sparsity, sparsities } from './terms.ts'

const starts = ['one', 'relevance', 'taylor'] as const
const teachings = ['none', 'soft', 'hard'] as const

/** Settings of both stages. */
export interface Settings {
  maskEpochs: number
  maskOptimizer: 'sgd' | 'adamw'
  maskRate: number
  sparse: Sparsity
  sparsity: number
  smooth: Smoothness
  smoothness: number
  init: typeof starts[number]
  initImages: number
  gateEpochs: number
  weightRate: number
  thresholdRate: number
  thresholds: 'learned' | 'uniform'
  scores: Normalisation
  sharpness: number
  sharpnessEnd: number
  beta: number
  dualRate: number
  distill: typeof teachings[number]
  temperature: number
  ema: number
}

/** Every option: what the help prints, and what is allowed. */
export const options: Readonly<Record<string, KnownOption>> = {
  'mask-epochs': { summary: 'epochs of learning masks', default: '10', range: [0, 1e5] },
  'mask-optimizer': { summary: 'sgd (momentum 0.9) or adamw', default: 'sgd', words: ['sgd', 'adamw'] },
  'mask-rate': { summary: 'learning rate of masks', default: '0.01', range: [0, 100] },
  'sparse': { summary: sparsities.join(', '), default: 'mean-square', words: sparsities },
  'sparsity': { summary: 'weight of the sparsity term', default: '0.01', range: [0, 1e9] },
  'smooth': { summary: smoothnesses.join(', '), default: 'laplacian-unit', words: smoothnesses },
  'smoothness': { summary: 'weight of the smoothness term', default: '0.01', range: [0, 1e9] },
  'init': { summary: 'masks start at one, or by the ranks of relevance or taylor', default: 'one', words: starts },
  'init-images': { summary: 'images of each class to start by', default: '32', range: [1, 1e6] },
  'gate-epochs': { summary: 'epochs of learning thresholds', default: '10', range: [0, 1e5] },
  'weight-rate': { summary: 'learning rate of weights meanwhile', default: '5e-4', range: [0, 100] },
  'threshold-rate': { summary: 'learning rate of thresholds', default: '0.02', range: [0, 100] },
  'thresholds': {
    summary: 'learned, or uniform: one rate for all layers',
    default: 'learned',
    words: ['learned', 'uniform'],
  },
  'scores': {
    summary: 'of a layer, divided by the largest (max) or spread from 0 to 1 (range)',
    default: 'max',
    words: normalisations,
  },
  'sharpness': { summary: 'n of the tanh gate', default: '10', range: [0.1, 1e4] },
  'sharpness-end': { summary: 'n after the last step', default: '10', range: [0.1, 1e4] },
  'beta': { summary: 'weight of the squared distance from the rate', default: '10', range: [0, 1e6] },
  'dual-rate': { summary: 'step of the multiplier up its gradient', default: '0.1', range: [1e-9, 1e6] },
  'distill': {
    summary: 'learn thresholds and weights from the dense network too: none, soft, hard',
    default: 'none',
    words: teachings,
  },
  'temperature': { summary: 'of soft distillation', default: '1', range: [1e-3, 1e3] },
  'ema': { summary: 'factor of a moving average of the weights; 0 for none', default: '0', range: [0, 0.999999] },
}

/** Reads them. @throws InputError naming the option, what it may be and what it is. */
export function settingsOf(given: Readonly<Record<string, string>>): Settings {
  const { word, number, whole } = optionReader(options, given)
  return {
    maskEpochs: whole('mask-epochs'),
    maskOptimizer: word('mask-optimizer'),
    maskRate: number('mask-rate'),
    sparse: word('sparse'),
    sparsity: number('sparsity'),
    smooth: word('smooth'),
    smoothness: number('smoothness'),
    init: word('init'),
    initImages: whole('init-images'),
    gateEpochs: whole('gate-epochs'),
    weightRate: number('weight-rate'),
    thresholdRate: number('threshold-rate'),
    thresholds: word('thresholds'),
    scores: word('scores'),
    sharpness: number('sharpness'),
    sharpnessEnd: number('sharpness-end'),
    beta: number('beta'),
    dualRate: number('dual-rate'),
    distill: word('distill'),
    temperature: number('temperature'),
    ema: number('ema'),
  }
}

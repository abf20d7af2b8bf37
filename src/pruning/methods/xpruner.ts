// X-Pruner (Yu and Xiang, "X-Pruner: eXplainable Pruning for Vision Transformers", CVPR 2023, arXiv 2303.04935): masks
// of classes are learnt through a frozen network, their absolute sums are scores, and a threshold for each layer is
// learnt under a constraint on what is left. No code was published; docs/learned-pruning.md says what is the paper's
// and what was chosen here.
import { copyOf } from '../../core/fill.ts'
import { disposeTree, mapTree, parameters } from '../../core/tree.ts'
import { rateTarget } from '../learning/target.ts'
import { checkScores } from '../scores/criterion.ts'
import type { Method, Methods } from './method.ts'
import { startMasks } from './xpruner/masks.ts'
import { margins, maskScore, normalised } from './xpruner/scores.ts'
import { options, settingsOf } from './xpruner/settings.ts'
import { learnMasks, learnThresholds } from './xpruner/stages.ts'

/** X-Pruner as a method. */
export const xpruner: Method = {
  summary: 'masks of classes and thresholds of layers, learnt (X-Pruner, arXiv 2303.04935)',
  reads: 'training',
  options,
  stages({ options: given, model, classes, units }) {
    const { maskEpochs, maskOptimizer, gateEpochs } = settingsOf(given)
    const elements = units.reduce((sum, { size }) => sum + size, 0)
    const weights = parameters(model).reduce((sum, [, { size }]) => sum + size, 0)
    return [
      { name: 'masks', epochs: maskEpochs, parameters: classes * elements, moments: maskOptimizer === 'sgd' ? 1 : 2 },
      { name: 'thresholds', epochs: gateEpochs, parameters: weights + units.length + 1, moments: 2 },
    ]
  },
  async prune(job) {
    const set = settingsOf(job.options), target = await rateTarget(job)
    const seen = [...new Set(job.data!.labels)].sort((a, b) => a - b)
    const masks = await startMasks(job, set.init, set.initImages)
    const first = await learnMasks(job, masks, set)
    const rows = new Map<string, Float32Array>()
    for (const [name, mask] of masks) rows.set(name, await mask.data() as Float32Array)
    disposeTree(masks)
    const scores = checkScores(
      new Map([...rows].map(([name, values]) => [
        name,
        normalised(maskScore({ classes: job.classes, values }, seen), set.scores),
      ])),
    )
    const model = mapTree(job.model, (leaf) => copyOf(leaf, true))
    const { thresholds, record } = await learnThresholds(job, model, scores, target, set)
    const above = margins(scores, thresholds), { plan, notes } = await job.choose(above)
    const reached = record.curves.rate?.at(-1)
    return {
      plan,
      scores: above,
      model,
      stages: [first, record],
      masks: new Map([...rows].map(([name, values]) => [name, { classes: job.classes, values }])),
      notes: [
        ...notes,
        ...reached === undefined
          ? []
          : [`thresholds came to a rate of ${reached.toFixed(3)}, the budget asks for ${target.alpha.toFixed(3)}`],
      ],
    }
  },
}

/** By name. */
export const methods: Methods = { xpruner }

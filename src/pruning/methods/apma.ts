// APMA (Lee and Hwang, "Automatic Channel Pruning for Multi-Head Attention", arXiv 2405.20867): query-key channels,
// value channels and hidden neurons have scores that are learnt with the weights under a target on the cost; heads keep
// equal shares, scores are weighed by how unlike a channel is, and start by how much of the attention map it makes. No
// code was published and only abstracts were at hand; docs/learned-pruning.md says what is theirs and what was chosen
// here.
import { copyOf } from '../../core/fill.ts'
import { mapTree, parameters } from '../../core/tree.ts'
import { costPolynomial } from '../learning/cost.ts'
import { rateTarget } from '../learning/target.ts'
import { checkScores } from '../scores/criterion.ts'
import { calibrationImages } from './apma/calibration.ts'
import { excitationSize } from './apma/excitation.ts'
import { search } from './apma/search.ts'
import { options, settingsOf } from './apma/settings.ts'
import { startScores } from './apma/start.ts'
import type { Method, Methods } from './method.ts'

/** APMA as a method. */
export const apma: Method = {
  summary: 'channels of attention and neurons, learnt with the weights (APMA, arXiv 2405.20867)',
  reads: 'training',
  kinds: ['query-key', 'values', 'neurons'],
  options,
  stages({ options: given, model, units }) {
    const { searchEpochs, reweight, excitation } = settingsOf(given)
    const elements = units.reduce((sum, { size }) => sum + size, 0)
    const factors = units.reduce((sum, { kind, size }) => {
      if (kind !== 'values' || !reweight) return sum
      return sum + (excitation ? excitationSize(size) : size)
    }, 0)
    const weights = parameters(model).reduce((sum, [, { size }]) => sum + size, 0)
    return [{ name: 'search', epochs: searchEpochs, parameters: weights + elements + factors + 1, moments: 2 }]
  },
  async prune(job) {
    const set = settingsOf(job.options), target = await rateTarget(job)
    const cost = costPolynomial(job, target.what)
    const images = await calibrationImages(job, set.calibrationImages)
    // A search that goes on has its scores already.
    const begun = await job.store.read('search') !== null
    const start = await startScores(job, begun ? 'uniform' : set.init, images)
    const model = mapTree(job.model, (leaf) => copyOf(leaf, true))
    const { scores, record, frozen, rate, notes: said } = await search(
      job,
      model,
      start,
      images,
      cost,
      target,
      set,
      begun,
    )
    const { plan, notes } = await job.choose(checkScores(scores))
    const asked = (1 - target.share).toFixed(3)
    return {
      plan,
      scores,
      model,
      stages: [record],
      notes: [
        ...notes,
        ...said,
        frozen === null
          ? `the search came to a rate of ${rate.toFixed(3)}, the budget asks for ${asked}: ${
            rate < 1 - target.share ? 'what is missing was cut by score' : 'what went beyond it was put back by score'
          }; give it more epochs`
          : `masks were frozen after epoch ${frozen} at a rate of ${rate.toFixed(3)}, the budget asks for ${asked}`,
      ],
    }
  },
}

/** By name. */
export const methods: Methods = { apma }

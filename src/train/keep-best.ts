// The epoch that did best on images that nothing is trained on, and its weights.
import { copyInto, copyOf } from '../core/fill.ts'
import { disposeTree, leaves, mapTree } from '../core/tree.ts'
import type { Dataset } from '../data/datasets.ts'
import type { Model } from '../nn/model.ts'
import { accuracyOf } from './evaluate.ts'
import type { FitHook } from './hooks.ts'

/** A hook that remembers the best epoch; `restore` puts its weights into the model and frees the copy. */
export interface KeepBest<M extends Model> extends FitHook<M> {
  /** The accuracy of each epoch, 0..1, and the best one's number, from 1 on (0 before any). */
  readonly accuracies: readonly number[]
  readonly epoch: number
  restore(model: M): void
}

/**
 * Measures the model, or its moving average where one is kept, on `data` after every epoch. Of epochs that tie the
 * later one counts: it was trained longer.
 */
export function keepBest<M extends Model>(model: M, data: Dataset, { batch }: { batch: number }): KeepBest<M> {
  const best = mapTree(model, (leaf) => copyOf(leaf, true))
  const kept: { epoch: number, accuracies: number[] } = { epoch: 0, accuracies: [] }
  const copy = (from: unknown, to: unknown) => {
    const targets = new Map(leaves(to))
    for (const [path, leaf] of leaves(from)) copyInto(leaf, targets.get(path)!)
  }
  return {
    name: 'best',
    tensors: best,
    get accuracies() {
      return kept.accuracies
    },
    get epoch() {
      return kept.epoch
    },
    async afterEpoch({ model: now, state }) {
      const candidate = state.average ?? now
      const { top1 } = await accuracyOf(candidate, data, { batch })
      if (!kept.accuracies.some((before) => before > top1)) {
        copy(candidate, best)
        kept.epoch = kept.accuracies.length + 1
      }
      kept.accuracies.push(top1)
    },
    save: () => kept,
    load(saved) {
      Object.assign(kept, saved)
    },
    restore(model) {
      if (kept.epoch) copy(best, model)
      disposeTree(best)
    },
  }
}

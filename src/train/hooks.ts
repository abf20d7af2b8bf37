// Where a method steps into the training loop: between gradient and update, after the update, after a step and after an
// epoch. A hook keeps its own state, which is saved and restored with the run's.
import type { Tensor } from '../core/tensor.ts'
import type { Tree } from '../core/tree.ts'
import type { Model } from '../nn/model.ts'
import type { TrainingState } from './fit.ts'
import type { Moment } from './groups.ts'

/** A run, as hooks on the host see it. */
export interface FitRun<M = Model> {
  readonly model: M
  readonly state: TrainingState
  /**
   * The step is captured once and replayed; call this after a change that the replay does not know: other tensors in
   * the model, other arguments that are no tensors. What a hook only writes into a tensor needs none.
   */
  recapture(): void
}

/** Gradients by path; null where the loss does not depend on a parameter. */
export type Gradients = ReadonlyMap<string, Tensor | null>

/**
 * Steps into the loop. `beforeUpdate` and `afterUpdate` are captured with the step: they launch, and what changes from
 * step to step is a tensor that somebody writes. The others run on the host and are awaited.
 */
export interface FitHook<M = Model> {
  /** Names its state in a file; different for each hook of a run. */
  readonly name: string
  /** Between gradient and update; returns other gradients, or nothing where they stay. */
  beforeUpdate?(gradients: Gradients, model: M): Gradients | void
  /** After the update: a projection, by `copyInto` the parameters. */
  afterUpdate?(model: M): void
  /** After each step, which then waits for the device; `loss` is that step's. */
  afterStep?(run: FitRun<M>, at: Moment, loss: number): Promise<void> | void
  /** After each epoch, before it is saved; `true` ends the training. */
  afterEpoch?(run: FitRun<M>): Promise<boolean | void> | boolean | void
  /** Tensors of its own that a resumed run needs: they are written in place. */
  readonly tensors?: Tree
  /** What else a resumed run needs, as JSON. */
  save?(): unknown
  load?(saved: unknown): void
}

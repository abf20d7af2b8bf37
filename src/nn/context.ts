import type { Tensor } from '../core/tensor.ts'

/** What a model's call needs to know beside its input. */
export interface Context {
  /** Batch statistics and dropout are on; default false. */
  training?: boolean
  /** State of the device's random numbers (`randomState`), needed in training where something is dropped. */
  random?: Tensor
}

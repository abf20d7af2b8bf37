// What every network of this package is.
import type { Tensor } from '../core/tensor.ts'
import type { Context } from './context.ts'

/** A network: images [B, C, Y, X] to logits [B, classes]. */
export interface Model {
  call(image: Tensor, context?: Context): Tensor
}

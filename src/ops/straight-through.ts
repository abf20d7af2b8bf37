// A value in the forward pass, another one's gradient in the backward pass (Bengio et al., arXiv 1308.3432): how a hard
// mask learns.
import { ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { op } from '../core/op.ts'
import { sameShape } from './shared/broadcast.ts'

/**
 * The values of `hard`, with the gradient of `soft`: what comes back goes to `soft` unchanged, nothing to `hard`. Both
 * have the same shape, e.g. `straightThrough(s, greater(s, half))` for a soft mask s. @throws ShapeError if they
 * differ.
 */
export const straightThrough = op<[soft: Tensor, hard: Tensor], object>({
  name: 'straight-through',
  axes: '..., ... -> ...',
  run(soft, hard) {
    if (!sameShape(soft.shape, hard.shape)) {
      throw new ShapeError(
        `straight-through: soft [${soft.shape}] and hard [${hard.shape}] differ; expected equal shapes`,
      )
    }
    return hard
  },
  vjp: (_, dy) => [dy, null],
  onnx: ({ args: [, hard] }) => hard.name,
})

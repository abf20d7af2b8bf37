// A multi-layer perceptron on flattened images: the smallest network that everything works on.
import type { Tensor } from '../src/core/index.ts'
import { relu, reshape } from '../src/ops/index.ts'
import { type Context, Gate, Linear } from '../src/nn/index.ts'

/** Sizes of an MLP; the defaults fit MNIST. */
export interface MLPOptions {
  inputs?: number
  hidden?: readonly number[]
  classes?: number
}

/** Linear layers with relu between; each hidden layer's neurons are prunable. */
export class MLP {
  static readonly leaves = { layers: { role: 'classifier' } } as const
  layers: Linear[]
  hidden: Gate[]

  constructor({ inputs = 28 * 28, hidden = [128], classes = 10 }: MLPOptions = {}) {
    const widths = [inputs, ...hidden, classes]
    this.layers = widths.slice(1).map((width, i) => new Linear(widths[i], width))
    this.hidden = hidden.map(() => new Gate([-1]))
  }

  /** image [B, ...] with `inputs` values each -> logits [B, classes]. */
  call(image: Tensor, _context: Context = {}): Tensor {
    let x = reshape(image, { shape: [image.shape[0], -1] })
    this.layers.forEach((layer, i) => {
      x = layer.call(x)
      if (i < this.hidden.length) x = this.hidden[i].call(relu(x))
    })
    return x
  }
}

import type { Tensor } from '../core/tensor.ts'
import { Gate } from './gate.ts'
import { Linear } from './linear.ts'
import { appliedGelu } from './weight.ts'

/** The transformer's two-layer perceptron with exact GELU; its hidden neurons are prunable. */
export class Mlp {
  fc1: Linear
  hidden = new Gate([-1])
  fc2: Linear

  constructor(width: number, hidden: number) {
    this.fc1 = new Linear(width, hidden)
    this.fc2 = new Linear(hidden, width)
  }

  /** x [..., width] -> [..., width]. */
  call(x: Tensor): Tensor {
    return this.fc2.call(this.hidden.call(appliedGelu(x, this.fc1.weight, this.fc1.bias)))
  }
}

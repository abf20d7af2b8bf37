// A network that is a list of steps: what another program's file says, where there is no code for its architecture.
// Weights stand in layers by name; gates stand where the reader of the file found axes that may shrink.
//   B images
import { type Tensor, zeros } from '../src/core/index.ts'
import { concat, slice } from '../src/ops/index.ts'
import { type Context, Gate } from '../src/nn/index.ts'
import { runStep } from './graph-steps.ts'

/** The name of the architecture: all of the network stands in its options. */
export const graphType = 'onnx'

/** A size: a number, -k for k times the images, or `x2` for that of axis 2 of what is read. */
export type GraphSize = number | string

/** One step: its kind, the numbers of the values it reads (0 is the images, i + 1 what step i makes), and the rest. */
export interface GraphStep {
  kind: string
  from: readonly number[]
  /** The layer whose tensors it reads. */
  layer?: string
  [attribute: string]: unknown
}

/** The tensors of a layer by name, each with its shape. */
export type GraphLayers = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>

/** A gate: its axis from the back, and what stands there. */
export interface GraphGate {
  axis: number
  kind: 'filters' | 'neurons' | 'residual'
  branchLocal?: boolean
}

/** A network as data. */
export interface GraphOptions {
  image: readonly [channels: number, height: number, width: number]
  classes: number
  layers: GraphLayers
  steps: readonly GraphStep[]
  gates?: Readonly<Record<string, GraphGate>>
  /** The file takes one image at a time: so they are run one by one. */
  single?: boolean
}

/** Tensors of one layer. Running statistics are not trained. */
export class GraphLayer {
  static readonly leaves = {
    mean: { trained: false },
    variance: { trained: false },
    gain: { role: 'gain' },
    bias: { role: 'bias' },
  } as const;
  [field: string]: Tensor

  constructor(shapes: Readonly<Record<string, readonly number[]>>) {
    for (const [field, shape] of Object.entries(shapes)) this[field] = zeros(shape, true)
  }
}

/** The network of a list of steps; its result is that of the last. */
export class GraphNetwork {
  layers: Record<string, GraphLayer>
  gates: Record<string, Gate>
  readonly steps: readonly GraphStep[]
  readonly classes: number
  readonly single: boolean

  constructor({ layers, steps, gates = {}, classes, single = false }: GraphOptions) {
    this.layers = Object.fromEntries(
      Object.entries(layers).map(([name, tensors]) => [
        name,
        new GraphLayer(tensors),
      ]),
    )
    this.gates = Object.fromEntries(
      Object.entries(gates).map(([name, { axis, kind, branchLocal = false }]) =>
        [name, new Gate([axis], { kind, branchLocal })] as const
      ),
    )
    this.steps = steps
    this.classes = classes
    this.single = single
  }

  /** image [B, channels, y, x] -> logits [B, classes]. */
  call(image: Tensor, _context: Context = {}): Tensor {
    const [batch, ...rest] = image.shape
    if (!this.single || batch === 1) return this.run(image)
    const each = Array.from(
      { length: batch },
      (_, i) => this.run(slice(image, { starts: [i, 0, 0, 0], stops: [i + 1, ...rest] })),
    )
    return concat(...each, { axis: 0 })
  }

  private run(image: Tensor): Tensor {
    const values = [image]
    for (const step of this.steps) {
      const layer = step.layer === undefined ? {} : this.layers[step.layer]
      const gate = step.kind === 'gate' ? this.gates[step.name as string] : null
      const args = step.from.map((at) => values[at])
      values.push(gate ? gate.call(args[0]) : runStep(step, args, layer, image.shape[0]))
    }
    return values.at(-1)!
  }
}

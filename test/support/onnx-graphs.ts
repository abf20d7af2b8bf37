// More graphs as exporters write them, of networks that this package has none of: depthwise convolutions with squeeze
// and excitation, layer norms of maps with layer scale, branches that are joined, norms of groups. Weights are random;
// ONNX Runtime computes them in test/long/onnx.test.ts.
import { fillNormal } from '../../src/index.ts'
import { ofOpset } from './onnx-hostile.ts'
import { Sketch } from './onnx-foreign.ts'

/** A graph under construction with random weights, in the words of an opset. */
class Graph extends Sketch {
  readonly opset: number

  constructor(opset: number) {
    super()
    this.opset = opset
  }

  weight(name: string, ...shape: number[]): string {
    const size = shape.reduce((a, b) => a * b, 1)
    return this.floats(name, shape, fillNormal(new Float32Array(size), 3, name, 1.4 / Math.sqrt(size / shape[0])))
  }

  conv(x: string, name: string, [outputs, inputs, size]: readonly number[], stride = 1, group = 1): string {
    const pad = Math.floor(size / 2), all = { dilations: [1, 1], group, kernel_shape: [size, size] }
    return this.node('Conv', [
      x,
      this.weight(`${name}.weight`, outputs, inputs / group, size, size),
      this.weight(`${name}.bias`, outputs),
    ], { ...all, pads: [pad, pad, pad, pad], strides: [stride, stride] })
  }

  /** Bounds were attributes before opset 11. */
  clip(x: string, low: number, high: number): string {
    return this.opset < 11
      ? this.node('Clip', [x], { min: { float: low }, max: { float: high } })
      : this.node('Clip', [x, this.number(low), this.number(high)])
  }

  /** Axes are an input from opset 18 on. */
  mean(x: string, axes: number[], keepdims = 1): string {
    return this.opset < 18
      ? this.node('ReduceMean', [x], { axes, keepdims })
      : this.node('ReduceMean', [x, this.wholes(...axes)], { keepdims })
  }

  /** Layer norm of the last axis in pieces. */
  norm(x: string, name: string, width: number): string {
    const centred = this.node('Sub', [x, this.mean(x, [-1])])
    const variance = this.mean(this.node('Pow', [centred, this.number(2)]), [-1])
    const root = this.node('Sqrt', [this.node('Add', [variance, this.number(1e-6)])])
    const scaled = this.node('Mul', [this.node('Div', [centred, root]), this.weight(`${name}.weight`, width)])
    return this.node('Add', [scaled, this.weight(`${name}.bias`, width)])
  }

  dense(x: string, name: string, inputs: number, outputs: number): string {
    const product = this.node('MatMul', [x, this.weight(`onnx::MatMul_${name}`, inputs, outputs)])
    return this.node('Add', [this.weight(`${name}.bias`, outputs), product])
  }

  gemm(x: string, name: string, inputs: number, outputs: number): string {
    return this.node(
      'Gemm',
      [x, this.weight(`${name}.weight`, outputs, inputs), this.weight(`${name}.bias`, outputs)],
      {
        transB: 1,
      },
    )
  }

  turned(x: string, ...perm: number[]): string {
    return this.node('Transpose', [x], { perm })
  }

  classes(x: string, width: number): Uint8Array {
    this.gemm(this.node('Flatten', [x], { axis: 1 }), 'classifier', width, 7)
    return ofOpset(this.bytes([3, 32, 32], 7), this.opset)
  }
}

/** torchvision's MobileNetV3: depthwise convolutions, relu6 as Clip, squeeze and excitation, hard swish. */
function mobileNet(opset: number): Uint8Array {
  const g = new Graph(opset)
  const hardSwish = (x: string) =>
    opset < 14
      ? g.node('Mul', [x, g.node('Div', [g.clip(g.node('Add', [x, g.number(3)]), 0, 6), g.number(6)])])
      : g.node('HardSwish', [x])
  let x = hardSwish(g.conv('input', 'features.0.0', [12, 3, 3], 2))
  for (const i of [1, 2]) {
    const at = `features.${i}.block`, wide = g.clip(g.conv(x, `${at}.0.0`, [20, 12, 1]), 0, 6)
    const deep = hardSwish(g.conv(wide, `${at}.1.0`, [20, 20, 3], 1, 20))
    const squeezed = g.node('Relu', [g.conv(g.node('GlobalAveragePool', [deep]), `${at}.2.fc1`, [10, 20, 1])])
    const gate = g.node('HardSigmoid', [g.conv(squeezed, `${at}.2.fc2`, [20, 10, 1])], { alpha: { float: 1 / 6 } })
    x = g.node('Add', [g.conv(g.node('Mul', [gate, deep]), `${at}.3.0`, [12, 20, 1]), x])
  }
  const flat = g.node('Flatten', [g.node('GlobalAveragePool', [x])])
  return g.classes(hardSwish(g.gemm(flat, 'pre', 12, 16)), 16)
}

/** timm's ConvNeXt: layer norms of maps in pieces, seven by seven depthwise, layer scale. */
function convNeXt(opset: number): Uint8Array {
  const g = new Graph(opset), C = 12
  let x = g.node('Conv', ['input', g.weight('stem.0.weight', C, 3, 4, 4), g.weight('stem.0.bias', C)], {
    kernel_shape: [4, 4],
    strides: [4, 4],
  })
  x = g.turned(g.norm(g.turned(x, 0, 2, 3, 1), 'stem.1', C), 0, 3, 1, 2)
  for (const i of [0, 1]) {
    const at = `stages.0.blocks.${i}`, deep = g.turned(g.conv(x, `${at}.conv_dw`, [C, C, 7], 1, C), 0, 2, 3, 1)
    const hidden = g.dense(g.norm(deep, `${at}.norm`, C), `${at}.mlp.fc1`, C, 40)
    const phi = g.node('Add', [g.node('Erf', [g.node('Div', [hidden, g.number(Math.SQRT2)])]), g.number(1)])
    const gelu = g.node('Mul', [g.node('Mul', [hidden, phi]), g.number(0.5)])
    const out = g.turned(g.dense(gelu, `${at}.mlp.fc2`, 40, C), 0, 3, 1, 2)
    x = g.node('Add', [g.node('Mul', [out, g.weight(`${at}.gamma`, 1, C, 1, 1)]), x])
  }
  const pooled = g.mean(x, [2, 3], 0)
  return g.classes(g.norm(pooled, 'head.norm', C), C)
}

/** torchvision's SqueezeNet: two branches joined, each of which may be cut, read by the next layer. */
function squeezeNet(opset: number): Uint8Array {
  const g = new Graph(opset)
  let x = g.node('Relu', [g.conv('input', 'features.0', [10, 3, 3], 2)]), C = 10
  for (const i of [3, 4]) {
    const at = `features.${i}`, relu = (y: string) => g.node('Relu', [y])
    x = g.node('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 })
    const squeezed = relu(g.conv(x, `${at}.squeeze`, [9, C, 1]))
    const branches = [
      relu(g.conv(squeezed, `${at}.expand1x1`, [13, 9, 1])),
      relu(g.conv(squeezed, `${at}.expand3x3`, [17, 9, 3])),
    ]
    x = g.node('Concat', branches, { axis: 1 })
    C = 30
  }
  return g.classes(g.node('GlobalAveragePool', [x]), C)
}

/** timm's group norm: channels put into groups by sizes of the map; means without the padding, as in a PoolFormer. */
function groupNorms(opset: number): Uint8Array {
  const g = new Graph(opset)
  const norm = (x: string, name: string) => {
    const rows = g.node('Reshape', [x, g.wholes(0, 4, -1)])
    const normed = g.node('InstanceNormalization', [
      rows,
      g.floats(`${name}.ones`, [4], [1, 1, 1, 1]),
      g.floats(`${name}.zeros`, [4], [0, 0, 0, 0]),
    ], { epsilon: { float: 1e-5 } })
    const whole = g.node('Reshape', [normed, g.node('Shape', [x])])
    return g.node('Add', [
      g.node('Mul', [whole, g.weight(`${name}.weight`, 16, 1, 1)]),
      g.weight(`${name}.bias`, 16, 1, 1),
    ])
  }
  const x = g.node('Relu', [norm(g.conv('input', 'conv1', [16, 3, 3], 2), 'norm1')])
  const pooled = g.node('AveragePool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] })
  const hidden = g.node('Relu', [g.conv(g.node('Sub', [pooled, x]), 'fc1', [24, 16, 1])])
  const y = norm(g.node('Add', [x, g.conv(hidden, 'fc2', [16, 24, 1])]), 'norm2')
  return g.classes(g.node('GlobalAveragePool', [y]), 16)
}

/** How to write each, and the opsets in which it is written differently. */
export const graphCases: Readonly<Record<string, (opset: number) => Uint8Array>> = {
  "torchvision's mobilenet": mobileNet,
  "timm's convnext": convNeXt,
  "torchvision's squeezenet": squeezeNet,
  "timm's group norms": groupNorms,
}
/** Opsets in which any of them is written otherwise. */
export const graphOpsets = [10, 11, 13, 14, 17, 18, 20] as const

/**
 * The cases of op_cases() in make_goldens.py as data: which golden, which op, which attributes. The references are
 * checked with it, and a kernel test loops over it with its own table of ops.
 */
import { nd } from './nd.ts'
import type { Nd } from './nd.ts'
import type { ReferenceName } from './references.ts'

/** One op of a case. Arguments are names of inputs or constants, or `previous`: what the step before gave. */
export interface Step {
  reference: ReferenceName
  args: string[]
  attributes?: object
}

/** One golden case: tensors `<golden>.in.<input>`, `.out`, `.w` (weights of the backward pass) and `.grad.<input>`. */
export interface OpCase {
  golden: string
  /** Inputs of the golden in its own order; those with a gradient in the file are differentiable. */
  inputs: string[]
  /** One step for nearly all; the goldens that are formulas have more. */
  steps: Step[]
  /** Labels and indices, whole numbers: arguments without a gradient that the golden keeps in its script. */
  constants?: Record<string, Nd>
  /**
   * Axis order that brings every tensor of the golden (inputs, out, w, gradients) to this project's layout, where they
   * differ: PyTorch's attention has the head axis before the token axis. The order given is its own inverse.
   */
  layout?: number[]
  /**
   * Every output is saturated and the gradient below 1e-15: relative errors mean nothing. A kernel's gradient should be
   * small beside the weights (1e-6), and that is all.
   */
  vanishing?: true
}

/** Evaluates a case with any implementation of the ops: `call` runs one op, `inputs` and `constants` are by name. */
export function runCase<T>({ steps }: OpCase, inputs: Record<string, T>, call: (step: Step, args: T[]) => T): T {
  let previous: T | undefined
  for (const step of steps) {
    previous = call(
      step,
      step.args.map((name) => name === 'previous' ? previous! : inputs[name]),
    )
  }
  return previous!
}

const step = (reference: ReferenceName, args: string, attributes?: object): Step => ({
  reference,
  args: args.split(' '),
  attributes,
})

const one = (golden: string, reference: ReferenceName, args: string, attributes?: object): OpCase => ({
  golden,
  inputs: args.split(' '),
  steps: [step(reference, args, attributes)],
})

const labels = nd([5], [0, 8, 3, 3, 5])
const rows = nd([2, 3], [0, 8, 3, 3, 3, 1])

/** Every golden of op_cases() but cumsum, unfold_3x3, upsample_nearest, upsample_bilinear and resize_bicubic. */
export const cases: OpCase[] = [
  one('conv2d_k3s1p1', 'conv2d', 'x w b', { stride: 1, padding: 1, dilation: 1, groups: 1 }),
  one('conv2d_k3s2p1', 'conv2d', 'x w b', { stride: 2, padding: 1, dilation: 1, groups: 1 }),
  one('conv2d_k7s2p3', 'conv2d', 'x w b', { stride: 2, padding: 3, dilation: 1, groups: 1 }),
  one('conv2d_k1s1p0', 'conv2d', 'x w b', { stride: 1, padding: 0, dilation: 1, groups: 1 }),
  one('conv2d_k1s2p0', 'conv2d', 'x w b', { stride: 2, padding: 0, dilation: 1, groups: 1 }),
  one('conv2d_k4s4p0', 'conv2d', 'x w b', { stride: 4, padding: 0, dilation: 1, groups: 1 }),
  one('conv2d_k3d2p2', 'conv2d', 'x w b', { stride: 1, padding: 2, dilation: 2, groups: 1 }),
  one('conv2d_k3g2p1', 'conv2d', 'x w b', { stride: 1, padding: 1, dilation: 1, groups: 2 }),
  one('conv2d_k5dw', 'conv2d', 'x w b', { stride: 1, padding: 2, dilation: 1, groups: 6 }),
  one('linear', 'linear', 'x w b'),
  one('matmul_2d', 'matmul', 'x w'),
  one('matmul_batched', 'matmul', 'x w'),
  one('matmul_broadcast', 'matmul', 'x w'),
  { ...one('attention', 'attention', 'q k v', { scale: 8 ** -0.5 }), layout: [0, 2, 1, 3] },
  one('layer_norm', 'layerNorm', 'x w b', { eps: 1e-6 }),
  one('batch_norm_eval', 'batchNormEval', 'x w b mean var', { eps: 1e-5 }),
  one('batch_norm_train', 'batchNormTrain', 'x w b', { eps: 1e-5 }),
  one('relu', 'relu', 'x'),
  one('gelu_erf', 'gelu', 'x'),
  one('gelu_tanh', 'geluTanh', 'x'),
  one('silu', 'silu', 'x'),
  one('sigmoid', 'sigmoid', 'x'),
  one('tanh', 'tanh', 'x'),
  one('exp', 'exp', 'x'),
  one('erf', 'erf', 'x'),
  one('softplus', 'softplus', 'x'),
  one('leaky_relu', 'leakyRelu', 'x', { slope: 0.1 }),
  one('hardswish', 'hardswish', 'x'),
  { golden: 'relu6', inputs: ['x'], steps: [step('scale', 'x', { factor: 3 }), step('relu6', 'previous')] },
  one('abs', 'abs', 'x'),
  one('log', 'log', 'x'),
  one('sqrt', 'sqrt', 'x'),
  one('rsqrt', 'rsqrt', 'x'),
  one('pow3', 'pow', 'x', { exponent: 3 }),
  one('pow_1p5', 'pow', 'x', { exponent: 1.5 }),
  one('reciprocal', 'reciprocal', 'x'),
  one('softmax_last', 'softmax', 'x', { axis: -1 }),
  one('softmax_dim1', 'softmax', 'x', { axis: 1 }),
  { ...one('softmax_large', 'softmax', 'x', { axis: -1 }), vanishing: true },
  one('log_softmax', 'logSoftmax', 'x', { axis: -1 }),
  {
    golden: 'cross_entropy',
    inputs: ['x'],
    constants: { labels },
    steps: [step('crossEntropy', 'x labels', { smoothing: 0 })],
  },
  {
    golden: 'cross_entropy_smooth',
    inputs: ['x'],
    constants: { labels },
    steps: [step('crossEntropy', 'x labels', { smoothing: 0.1 })],
  },
  one('max_pool_3s2p1', 'maxPool', 'x', { kernel: 3, stride: 2, padding: 1 }),
  one('max_pool_2s2', 'maxPool', 'x', { kernel: 2, stride: 2, padding: 0 }),
  one('avg_pool_2s2', 'avgPool', 'x', { kernel: 2, stride: 2, padding: 0 }),
  one('avg_pool_3s1p1', 'avgPool', 'x', { kernel: 3, stride: 1, padding: 1 }),
  one('adaptive_avg_1', 'adaptiveAvgPool', 'x', { size: 1 }),
  one('adaptive_avg_2to7', 'adaptiveAvgPool', 'x', { size: 7 }),
  one('adaptive_avg_8to3', 'adaptiveAvgPool', 'x', { size: 3 }),
  one('add_broadcast', 'add', 'x y'),
  one('mul_broadcast', 'mul', 'x y'),
  { golden: 'sub_div', inputs: ['x', 'y'], steps: [step('sub', 'x y'), step('div', 'previous y')] },
  one('maximum', 'maximum', 'x y'),
  one('sum_keepdim', 'sum', 'x', { axes: [0, 2], keepdim: true }),
  one('mean_hw', 'mean', 'x', { axes: [2, 3], keepdim: false }),
  one('var_biased', 'variance', 'x', { axes: [1, 2], keepdim: false }),
  one('max_dim', 'max', 'x', { axes: [1], keepdim: false }),
  one('norm_last', 'norm', 'x', { axes: [-1], keepdim: true }),
  {
    golden: 'permute_reshape',
    inputs: ['x'],
    steps: [step('permute', 'x', { order: [0, 2, 3, 1] }), step('reshape', 'previous', { shape: [2, 20, 3] })],
  },
  one('roll_2d', 'roll', 'x', { shifts: [-2, 1], axes: [1, 2] }),
  one('cat_dim1', 'concat', 'x y', { axis: 1 }),
  one('slice_step', 'slice', 'x', { start: [0, 1, 0], end: [2, 7, 8], step: [1, 2, 3] }),
  one('pad_hw', 'pad', 'x', { before: [0, 0, 0, 1], after: [0, 0, 3, 2], value: 0 }),
  { golden: 'gather_rows', inputs: ['x'], constants: { rows }, steps: [step('gather', 'x rows', { axis: 0 })] },
]

/** Goldens of op_cases() for ops that this project does not have. */
export const unusedGoldens = ['cumsum', 'unfold_3x3', 'upsample_nearest', 'upsample_bilinear', 'resize_bicubic']

// What the steps of a graph network compute, by kind. Each kind says which attributes it takes, so that a stranger's
// file is checked before anything runs.
import { type Tensor, zeros } from '../src/core/index.ts'
import * as ops from '../src/ops/index.ts'
import { applied, convolved } from '../src/nn/index.ts'
import type { GraphSize, GraphStep } from './graph.ts'

type Pair = readonly [number, number]

/** Attributes of all kinds. */
interface Attributes {
  stride: Pair
  padding: Pair
  dilation: Pair
  size: Pair
  out: Pair
  groups: number
  over: number
  eps: number
  axis: number
  axes: readonly number[]
  order: readonly number[]
  sizes: readonly GraphSize[]
  starts: readonly number[]
  stops: readonly number[]
  steps: readonly number[]
  before: readonly number[]
  after: readonly number[]
  value: number
  low: number
  high: number
  by: number
  exponent: number
  slope: number
  keep: boolean
}

/** Tensors of a layer by name. */
type Layer = Readonly<Record<string, Tensor>>

type Run = (args: readonly Tensor[], layer: Layer, at: Attributes, batch: number) => Tensor

interface StepKind {
  run: Run
  args: number | 'any'
  attributes?: readonly (keyof Attributes)[]
  /** Tensors of its layer; those with a question mark may be missing. */
  tensors?: readonly string[]
}

/** Sizes as numbers: `x2` is that of axis 2 of x, which may have shrunk. */
const open = (sizes: readonly GraphSize[], batch: number, x?: Tensor) =>
  sizes.map((n) => typeof n === 'string' ? x!.shape[Number(n.slice(1))] : n < 0 ? -n * batch : n)

const unary = (run: (x: Tensor) => Tensor): StepKind => ({ args: 1, run: ([x]) => run(x) })
const binary = (run: (x: Tensor, y: Tensor) => Tensor): StepKind => ({ args: 2, run: ([x, y]) => run(x, y) })
const reduction = (run: typeof ops.mean): StepKind => ({
  args: 1,
  attributes: ['axes', 'keep'],
  run: ([x], _, { axes, keep }) => run(x, { axes, keep }),
})

/** Every kind of step. */
export const stepKinds: Readonly<Record<string, StepKind>> = {
  'conv2d': {
    args: 1,
    attributes: ['stride', 'padding', 'dilation', 'groups'],
    tensors: ['weight', 'bias?'],
    run([x], { weight, bias }, { stride, padding, dilation, groups }) {
      const b = (bias as Tensor | undefined) ?? null
      const isDepthwise = weight.shape[1] === 1 && groups > 1
      // A cut takes groups of depthwise convolutions along.
      return isDepthwise && weight.shape[0] === x.shape[1]
        ? ops.depthwise(x, weight, b, { stride, padding, dilation })
        : convolved(x, weight, b, { stride, padding, dilation, groups })
    },
  },
  'linear': {
    args: 1,
    attributes: ['over'],
    tensors: ['weight', 'bias?'],
    run: ([x], { weight, bias }, { over }) => applied(x, weight, (bias as Tensor | undefined) ?? null, { over }),
  },
  'batch-norm': {
    args: 1,
    attributes: ['eps'],
    tensors: ['gain', 'bias', 'mean', 'variance'],
    run: ([x], { gain, bias, mean, variance }, { eps }) => ops.batchNorm(x, gain, bias, mean, variance, { eps }),
  },
  'layer-norm': {
    args: 1,
    attributes: ['eps'],
    tensors: ['gain', 'bias'],
    run: ([x], { gain, bias }, { eps }) => ops.layerNorm(x, gain, bias, { eps }),
  },
  // A tensor of the file as it stands, e.g. positions.
  'parameter': { args: 0, tensors: ['value'], run: (_, { value }) => value },
  // The same for every image: a class token.
  'spread': {
    args: 1,
    attributes: ['sizes'],
    run: ([x], _, { sizes }, batch) => ops.add(x, zeros(open(sizes, batch))),
  },
  ...Object.fromEntries(
    ([
      ['relu', ops.relu],
      ['gelu', ops.gelu],
      ['gelu-tanh', ops.geluTanh],
      ['silu', ops.silu],
      ['sigmoid', ops.sigmoid],
      ['tanh', ops.tanh],
      ['exp', ops.exp],
      ['log', ops.log],
      ['sqrt', ops.sqrt],
      ['erf', ops.erf],
      ['softplus', ops.softplus],
      ['hardswish', ops.hardswish],
      ['abs', ops.abs],
      ['neg', ops.neg],
      ['reciprocal', ops.reciprocal],
      ['sin', ops.sin],
      ['cos', ops.cos],
    ] as const).map(([name, run]) => [name, unary(run)]),
  ),
  'leaky-relu': { args: 1, attributes: ['slope'], run: ([x], _, { slope }) => ops.leakyRelu(x, { slope }) },
  'pow': { args: 1, attributes: ['exponent'], run: ([x], _, { exponent }) => ops.pow(x, { exponent }) },
  'clamp': { args: 1, attributes: ['low', 'high'], run: ([x], _, { low, high }) => ops.clamp(x, { low, high }) },
  'scale': { args: 1, attributes: ['by'], run: ([x], _, { by }) => ops.scale(x, { by }) },
  'offset': { args: 1, attributes: ['by'], run: ([x], _, { by }) => ops.offset(x, { by }) },
  'add': binary(ops.add),
  'sub': binary(ops.sub),
  'mul': binary(ops.mul),
  'div': binary(ops.div),
  'maximum': binary(ops.maximum),
  'minimum': binary(ops.minimum),
  'power': binary(ops.power),
  'matmul': binary((x, y) => ops.matmul(x, y)),
  'softmax': { args: 1, attributes: ['axis'], run: ([x], _, { axis }) => ops.softmax(x, { axis }) },
  'log-softmax': { args: 1, attributes: ['axis'], run: ([x], _, { axis }) => ops.logSoftmax(x, { axis }) },
  'reshape': {
    args: 1,
    attributes: ['sizes'],
    run: ([x], _, { sizes }, batch) => ops.reshape(x, { shape: open(sizes, batch, x) }),
  },
  'permute': { args: 1, attributes: ['order'], run: ([x], _, { order }) => ops.permute(x, { order }) },
  'slice': {
    args: 1,
    attributes: ['starts', 'stops', 'steps'],
    run: ([x], _, { starts, stops, steps }) =>
      // An axis that is taken whole stays whole when it has shrunk.
      ops.slice(x, { starts, stops: stops.map((stop, axis) => stop < 0 ? x.shape[axis] : stop), steps }),
  },
  'concat': { args: 'any', attributes: ['axis'], run: (args, _, { axis }) => ops.concat(...args, { axis }) },
  'pad': {
    args: 1,
    attributes: ['before', 'after', 'value'],
    run: ([x], _, { before, after, value }) => ops.pad(x, { before, after, value }),
  },
  'max-pool': {
    args: 1,
    attributes: ['size', 'stride', 'padding'],
    run: ([x], _, { size, stride, padding }) => ops.maxPool(x, { size, stride, padding }),
  },
  'avg-pool': {
    args: 1,
    attributes: ['size', 'stride', 'padding'],
    run: ([x], _, { size, stride, padding }) => ops.avgPool(x, { size, stride, padding }),
  },
  'adaptive-avg-pool': {
    args: 1,
    attributes: ['out'],
    run: ([x], _, { out }) => ops.adaptiveAvgPool(x, { out }),
  },
  'mean': reduction(ops.mean),
  'sum': reduction(ops.sum),
  'max': reduction(ops.max),
  'min': reduction(ops.min),
  'norm': reduction(ops.norm),
  'gate': { args: 1, run: ([x]) => x },
}

/** The value of one step; gates are the network's. */
export function runStep(step: GraphStep, args: readonly Tensor[], layer: Layer, batch: number): Tensor {
  return stepKinds[step.kind].run(args, layer, step as unknown as Attributes, batch)
}

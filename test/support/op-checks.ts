// Every op family as a table of checks that need neither vitest nor Node: the golden cases and some shapes against the
// references. They run in a page (test/browser) and in the debug modes of the embedded device
// (test/cpu/kernels.test.ts).
import * as ops from '../../src/index.ts'
import { Tensor, tensor, vjp } from '../../src/index.ts'
import { type OpCase, cases, runCase, type Step } from '../reference/cases.ts'
import { gradientError, numericalGradient } from '../reference/gradient.ts'
import { nd, type Nd, random, randomIntegers, relativeError, uniform } from '../reference/nd.ts'
import { reference, type ReferenceName } from '../reference/references.ts'
import { permute } from '../reference/shape.ts'
import { sparseChecks } from './sparse-checks.ts'

/** One check: gives the worst of max|a - b| / max|b| over the result and its gradients; 1e-5 is good. */
export interface Check {
  name: string
  tolerance: number
  run(): Promise<number>
}

/** A tensor of a golden, and the four groups of a golden case. */
export interface Values {
  shape: number[]
  data: ArrayLike<number>
}
export interface CaseValues {
  inputs: Record<string, Values>
  out: Values
  weights: Values
  grads: Record<string, Values>
}

// The attributes of a case are data; each op checks its own.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Attributes = any
const unary = [
  'relu',
  'gelu',
  'geluTanh',
  'silu',
  'sigmoid',
  'tanh',
  'exp',
  'erf',
  'softplus',
  'leakyRelu',
  'hardswish',
  'relu6',
  'abs',
  'log',
  'sqrt',
  'rsqrt',
  'pow',
  'reciprocal',
] as const
const binary = ['add', 'sub', 'mul', 'div', 'maximum', 'matmul'] as const
const reductions = ['sum', 'mean', 'variance', 'max', 'norm'] as const

/** Our op for every reference. */
const calls: Partial<Record<ReferenceName, (args: Tensor[], attributes: Attributes) => Tensor>> = {
  ...Object.fromEntries(
    unary.map((
      name,
    ) => [
      name,
      ([x]: Tensor[], attributes: Attributes) => (ops[name] as (x: Tensor, a: object) => Tensor)(x, attributes),
    ]),
  ),
  ...Object.fromEntries(binary.map((name) => [name, ([x, y]: Tensor[]) => ops[name](x, y)])),
  ...Object.fromEntries(
    reductions.map((
      name,
    ) => [name, ([x]: Tensor[], { axes, keepdim }: Attributes) => ops[name](x, { axes, keep: keepdim })]),
  ),
  scale: ([x], { factor }) => ops.scale(x, { by: factor }),
  conv2d: ([x, w, b = null], attributes) => ops.conv2d(x, w, b, attributes),
  depthwise: ([x, w, b = null], attributes) => ops.depthwise(x, w, b, attributes),
  linear: ([x, w, b = null]) => ops.linear(x, w, b),
  maskedMatmul: ([x, w, mask]) => ops.maskedMatmul(x, w, mask),
  attention: ([q, k, v, bias = null, mask = null], attributes) => ops.attention(q, k, v, bias, mask, attributes),
  linearAttention: ([q, k, v], attributes) => ops.linearAttention(q, k, v, attributes),
  layerNorm: ([x, gain, bias], attributes) => ops.layerNorm(x, gain, bias, attributes),
  batchNormEval: ([x, gain, bias, mean, variance], attributes) =>
    ops.batchNorm(x, gain, bias, mean, variance, attributes),
  batchNormTrain: ([x, gain, bias], attributes) =>
    ops.batchNormTrain(x, gain, bias, ops.zeros([x.shape[1]]), ops.full([x.shape[1]], 1), attributes),
  softmax: ([x], attributes) => ops.softmax(x, attributes),
  logSoftmax: ([x], attributes) => ops.logSoftmax(x, attributes),
  crossEntropy: ([x, labels], attributes) => ops.crossEntropy(x, labels, attributes),
  maxPool: ([x], { kernel, stride, padding }) => ops.maxPool(x, { size: kernel, stride, padding }),
  avgPool: ([x], { kernel, stride, padding }) => ops.avgPool(x, { size: kernel, stride, padding }),
  adaptiveAvgPool: ([x], { size }) => ops.adaptiveAvgPool(x, { out: size }),
  permute: ([x], attributes) => ops.permute(x, attributes),
  reshape: ([x], attributes) => ops.reshape(x, attributes),
  roll: ([x], attributes) => ops.roll(x, attributes),
  concat: (parts, attributes) => ops.concat(parts[0], parts[1], attributes),
  pad: ([x], attributes) => ops.pad(x, attributes),
  slice: ([x], { start, end, step }) => ops.slice(x, { starts: start, stops: end, steps: step }),
  gather: ([x, rows], attributes) => ops.gather(x, rows, attributes),
}

const call = ({ reference: name, attributes = {} }: Step, args: Tensor[]): Tensor => {
  const ours = calls[name]
  if (!ours) throw new Error(`no op for the reference '${name}' in test/op-checks.ts`)
  return ours(args, attributes as Attributes)
}
const toTensor = ({ shape, data }: Values): Tensor => tensor(Float32Array.from(data), shape)
const whole = ({ shape, data }: Values): Tensor => tensor(Int32Array.from(data), shape)

/** Checks of the goldens; `get` reads one. Saturated cases, whose gradients mean nothing, are left out. */
export function goldenChecks(get: (name: string) => CaseValues): Check[] {
  return cases.filter(({ vanishing }) => !vanishing).map((found) => ({
    name: `golden ${found.golden}`,
    tolerance: 1e-5,
    run: () => checkGolden(found, get(found.golden)),
  }))
}

async function checkGolden(found: OpCase, { inputs, out, weights, grads }: CaseValues): Promise<number> {
  const load = ({ shape, data }: Values) =>
    found.layout ? permute(nd(shape, data), { order: found.layout }) : nd(shape, data)
  const constants = Object.fromEntries(
    Object.entries(found.constants ?? {}).map(([name, values]) => [name, whole(values)]),
  )
  const { outputs: [y], back, free } = vjp(
    (...given) =>
      runCase<Tensor>(
        found,
        { ...constants, ...Object.fromEntries(found.inputs.map((name, i) => [name, given[i]])) },
        call,
      ),
    ...found.inputs.map((name) => toTensor(load(inputs[name]))),
  )
  const cotangents = back(toTensor(load(weights))) // before anything is read, so that a debug mode sees all of it
  const errors = [relativeError(await y.data(), load(out).data)]
  for (const [i, name] of found.inputs.entries()) {
    if (name in grads) errors.push(relativeError(await cotangents[i]!.data(), load(grads[name]).data))
  }
  free()
  return Math.max(...errors)
}

/**
 * One op at one shape, its arguments as arrays; those named in `constant` have no gradient, `whole` ones are integers.
 */
interface Shaped {
  op: ReferenceName
  args: Nd[]
  attributes?: object
  constant?: number[]
  whole?: number[]
}

const shapes: Shaped[] = [
  ...([[[1, 1], [1, 1]], [[7, 9], [9, 5]], [[33, 17], [17, 65]], [[64, 64], [64, 64]], [[2, 3, 20, 12], [
    2,
    3,
    12,
    28,
  ]]] as const).map(([a, b]): Shaped => ({ op: 'matmul', args: [random(1, a), random(2, b)] })),
  ...([[5, 7, 3], [4, 64, 130], [1, 8, 10], [19, 12, 16]] as const).map(([n, i, o]): Shaped => ({
    op: 'linear',
    args: [random(1, [n, i]), random(2, [o, i]), random(3, [o])],
  })),
  { op: 'maskedMatmul', args: [random(1, [9, 12]), random(2, [12, 8]), randomIntegers(3, [12, 8], 2)], constant: [2] },
  ...([
    [[2, 3, 7, 6], [4, 3, 3, 3], { stride: 1, padding: 1, dilation: 1, groups: 1 }],
    [[1, 4, 9, 9], [6, 2, 3, 3], { stride: 2, padding: 1, dilation: 1, groups: 2 }],
    [[2, 3, 8, 8], [5, 3, 4, 4], { stride: 4, padding: 0, dilation: 1, groups: 1 }],
    [[1, 5, 6, 7], [8, 5, 1, 1], { stride: 1, padding: 0, dilation: 1, groups: 1 }],
  ] as const).map(([x, w, attributes]): Shaped => ({
    op: 'conv2d',
    args: [random(1, x), random(2, w), random(3, [w[0]])],
    attributes,
  })),
  {
    op: 'depthwise',
    args: [random(1, [2, 5, 6, 7]), random(2, [5, 1, 3, 3]), random(3, [5])],
    attributes: { stride: 1, padding: 1, dilation: 1 },
  },
  ...([[1, 1, 1, 1, 4], [2, 9, 7, 3, 8], [1, 17, 33, 2, 5], [1, 64, 64, 1, 16], [1, 5, 130, 1, 5]] as const).map((
    [B, M, N, H, D],
  ): Shaped => ({
    op: 'attention',
    args: [random(1, [B, M, H, D]), random(2, [B, N, H, D]), random(3, [B, N, H, D]), random(4, [H, M, N])],
    attributes: { scale: D ** -0.5 },
  })),
  {
    op: 'linearAttention',
    args: [uniform(1, [2, 9, 3, 8], 0.1, 1), uniform(2, [2, 9, 3, 8], 0.1, 1), random(3, [2, 9, 3, 8])],
    attributes: { eps: 1e-3 },
  },
  ...[[3, 5], [7, 64], [2, 3, 100], [300, 12]].map((shape): Shaped => ({
    op: 'layerNorm',
    args: [random(1, shape), random(2, [shape.at(-1)!]), random(3, [shape.at(-1)!])],
    attributes: { eps: 1e-5 },
  })),
  { op: 'batchNormTrain', args: [random(1, [4, 6, 3, 5]), random(2, [6]), random(3, [6])], attributes: { eps: 1e-5 } },
  ...[[2, 3], [5, 33], [3, 1000], [300, 7]].map((shape): Shaped => ({
    op: 'softmax',
    args: [random(1, shape, 2)],
    attributes: { axis: -1 },
  })),
  { op: 'logSoftmax', args: [random(1, [3, 6, 5])], attributes: { axis: 1 } },
  {
    op: 'crossEntropy',
    args: [random(1, [7, 10]), randomIntegers(2, [7], 10)],
    attributes: { smoothing: 0.1 },
    whole: [1],
  },
  { op: 'maxPool', args: [random(1, [2, 3, 9, 8])], attributes: { kernel: 3, stride: 2, padding: 1 } },
  { op: 'avgPool', args: [random(1, [2, 3, 8, 6])], attributes: { kernel: 2, stride: 2, padding: 0 } },
  { op: 'gelu', args: [random(1, [3, 7, 5], 2)] },
  { op: 'mul', args: [random(1, [4, 1, 6]), random(2, [3, 1])] },
  { op: 'add', args: [random(1, [129]), random(2, [129])] },
  { op: 'sum', args: [random(1, [5, 70, 3])], attributes: { axes: [1], keepdim: false } },
  { op: 'max', args: [random(1, [3, 40])], attributes: { axes: [1], keepdim: true } },
  { op: 'gather', args: [random(1, [6, 5]), randomIntegers(2, [9], 6)], attributes: { axis: 0 }, whole: [1] },
  { op: 'roll', args: [random(1, [2, 5, 7])], attributes: { shifts: [2, -3], axes: [1, 2] } },
]

/** Checks of a few shapes of every op family against the references and their differences. */
export function shapeChecks(): Check[] {
  return [
    ...shapes.map((shaped) => ({
      name: `${shaped.op} ${shaped.args.map(({ shape }) => `[${shape}]`).join(' ')}`,
      tolerance: 1e-5,
      run: () => checkShape(shaped),
    })),
    ...sparseChecks(),
  ]
}

async function checkShape({ op, args, attributes = {}, constant = [], whole: integers = [] }: Shaped): Promise<number> {
  const plain = (...given: Nd[]) => reference(op, given, attributes)
  const rounded = args.map(({ shape, data }) => nd(shape, Float64Array.from(data, Math.fround)))
  const expected = plain(...rounded)
  const { outputs: [y], back, free } = vjp(
    (...given) => call({ reference: op, args: [], attributes }, given),
    ...rounded.map((arg, i) => integers.includes(i) ? whole(arg) : toTensor(arg)),
  )
  if (String(y.shape) !== String(expected.shape)) {
    throw new Error(`${op}: shape [${y.shape}], expected [${expected.shape}]`)
  }
  const weights = random(77, expected.shape)
  const cotangents = back(toTensor(weights))
  const errors = [relativeError(await y.data(), expected.data)]
  for (let i = 0; i < args.length; i++) {
    if (constant.includes(i) || integers.includes(i)) continue
    errors.push(
      gradientError(await cotangents[i]!.data(), numericalGradient(plain, rounded, weights, i, { samples: 6 })),
    )
  }
  free()
  return Math.max(...errors)
}

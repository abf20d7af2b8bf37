// Which steps of ours compute an ONNX operator of something that is not known when the file is read.
import { InputError } from '../../base/errors.ts'
import { sizeOf } from '../../base/shape.ts'
import { axesOf, axisIn, ints, number, reshaped, slices, splitSizes, squeezed, unsqueezed } from './fold.ts'
import { add, conv, gemm, layerNorm, matmul, norm, pool } from './layers.ts'
import { einsum } from './einsum.ts'
import { groupNorm, instanceNorm } from './group-norm.ts'
import { binary, known, listAt, made, type Operator, optional, rankOf, type Reading, reshapeTo, scalarOf,
  shapeOf } from './reading.ts'
import type { Made, Translator, Value } from './translator.ts'

const unary = (kind: string, attributes: (reading: Reading) => object = () => ({})): Operator => (reading) =>
  reading.t.step(kind, [made(reading, 0)], { ...attributes(reading) })

const reshaping =
  (shapeFor: (shape: readonly number[], reading: Reading, version: 0 | 1) => readonly number[]): Operator =>
  (reading) => {
    const x = made(reading, 0)
    return reshapeTo(reading.t, x, [shapeFor(x.pair[0].shape, reading, 0), shapeFor(x.pair[1].shape, reading, 1)])
  }

const softmax = (kind: 'softmax' | 'log-softmax'): Operator => (reading) => {
  const { t, attributes, opset } = reading, x = made(reading, 0), rank = rankOf(x)
  const axis = axisIn(number(attributes, 'axis', opset < 13 ? 1 : -1), rank)
  if (opset < 13 && axis !== rank - 1) {
    throw new InputError(`it is over the axes from ${axis} on, as before opset 13; export it with opset_version=17`)
  }
  return t.step(kind, [x], { axis: axis - rank })
}

const reduction = (kind: string): Operator => (reading) => {
  const { t, args, attributes } = reading, x = made(reading, 0)
  const list = axesOf(args.map((arg) => arg?.kind === 'known' ? arg.pair[0] : undefined), attributes)
  if (!list.length && number(attributes, 'noop_with_empty_axes', 0)) return x
  const axes = (list.length ? list : shapeOf(x).map((_, i) => i)).map((axis) => axisIn(axis, rankOf(x)))
  return t.step(kind, [x], { axes, keep: number(attributes, 'keepdims', 1) === 1 })
}

/** Over all axes behind the channels. */
const overPlaces = (kind: string): Operator => (reading) => {
  const x = made(reading, 0)
  return reading.t.step(kind, [x], { axes: shapeOf(x).slice(2).map((_, i) => i + 2), keep: true })
}

/** Part of a value: `stops` of -1 is to the end, of axes that are taken whole. */
function slice(t: Translator, x: Made, parts: readonly { start: number, stop: number, step: number }[]): Made {
  const shape = shapeOf(x),
    isWhole = parts.map(({ start, stop, step }, i) => start === 0 && stop === shape[i] && step === 1)
  if (isWhole.every(Boolean)) return x
  const back = parts.find(({ step }) => step < 0)
  if (back) throw new InputError(`a slice in steps of ${back.step}, expected steps forward`)
  return t.step('slice', [x], {
    starts: parts.map(({ start }) => start),
    stops: parts.map(({ stop }, i) => isWhole[i] ? -1 : stop),
    steps: parts.map(({ step }) => step),
  })
}

const whole = (shape: readonly number[]) => shape.map((n) => ({ start: 0, stop: n, step: 1 }))

function sliced(reading: Reading): Value {
  const { t, attributes } = reading, x = made(reading, 0)
  const list = (at: number, name: string) => listAt(reading, at, 0) ?? (name ? [...ints(attributes, name)] : [])
  const starts = list(1, 'starts'), axes = listAt(reading, 3, 0) ?? ints(attributes, 'axes', starts.map((_, i) => i))
  return slice(t, x, slices(shapeOf(x), starts, list(2, 'ends'), axes, list(4, '')))
}

function gather(reading: Reading): Value {
  const { t, attributes } = reading, x = made(reading, 0), index = known(reading, 1, 'its index'), shape = shapeOf(x)
  const axis = axisIn(number(attributes, 'axis', 0), shape.length), n = shape[axis]
  const picked = Array.from(index.values, (at) => at < 0 ? at + n : at)
  if (index.shape.length > 1 || !picked.every((at) => at >= 0 && at < n)) {
    throw new InputError(`its index is [${index.shape}] of an axis of ${n}, expected a list of entries that are there`)
  }
  // Runs of entries that follow each other.
  const runs: { start: number, stop: number }[] = []
  for (const at of picked) {
    const last = runs.at(-1)
    if (last?.stop === at) last.stop++
    else runs.push({ start: at, stop: at + 1 })
  }
  const parts = runs.map((run) => slice(t, x, whole(shape).with(axis, { ...run, step: 1 })))
  const all = parts.length === 1 ? parts[0] : t.step('concat', parts, { axis })
  return index.shape.length
    ? all
    : reshapeTo(t, all, [0, 1].map((i) => x.pair[i].shape.toSpliced(axis, 1)) as [number[], number[]])
}

function split(reading: Reading): Value[] {
  const { t, attributes, outputs } = reading, x = made(reading, 0), shape = shapeOf(x)
  const axis = axisIn(number(attributes, 'axis', 0), shape.length)
  const sizes = splitSizes(shape[axis], optional(reading, 1, 'its sizes'), { ...attributes, outputs })
  let start = 0
  return sizes.map((size) => slice(t, x, whole(shape).with(axis, { start, stop: start += size, step: 1 })))
}

function padded(reading: Reading): Made {
  const { t, attributes, args } = reading, x = made(reading, 0), rank = rankOf(x)
  const mode = attributes.mode as string | undefined ?? 'constant',
    pads = listAt(reading, 1, 0) ?? ints(attributes, 'pads')
  if (mode !== 'constant' || pads.length !== 2 * rank || args[3]) {
    throw new InputError(`it pads by ${mode}, expected a constant on both sides of every axis`)
  }
  const value = args[2] ? scalarOf(args[2]) : number(attributes, 'value', 0)
  if (value === null) throw new InputError('what it pads with is computed, expected a number')
  return t.step('pad', [x], { before: pads.slice(0, rank), after: pads.slice(rank), value })
}

function clip(reading: Reading): Made {
  const { t, args, attributes } = reading
  const low = args[1] ? scalarOf(args[1]) : number(attributes, 'min', -3.4e38)
  const high = args[2] ? scalarOf(args[2]) : number(attributes, 'max', 3.4e38)
  if (low === null || high === null) throw new InputError('its bounds are computed, expected numbers')
  return t.step('clamp', [made(reading, 0)], { low, high })
}

/** All of them, one after another. */
const summed = (reading: Reading): Made =>
  reading.args.slice(1).reduce<Made>(
    (sum, _, i) => reading.t.step('add', [sum, made(reading, i + 1)]),
    made(reading, 0),
  )

/** relu(x) - slope relu(-x). */
function prelu(reading: Reading): Made {
  const { t, args } = reading, x = made(reading, 0), slope = scalarOf(args[1])
  if (slope !== null) return t.step('leaky-relu', [x], { slope })
  const below = t.step('relu', [t.step('neg', [x])])
  return t.step('sub', [t.step('relu', [x]), t.step('mul', [below, made(reading, 1)])])
}

/** relu(x) + alpha (exp(min(x, 0)) - 1). */
function elu(reading: Reading): Made {
  const { t, attributes } = reading, x = made(reading, 0), below = t.step('clamp', [x], { low: -3.4e38, high: 0 })
  const curve = t.step('offset', [t.step('exp', [below])], { by: -1 })
  return t.step('add', [t.step('relu', [x]), t.step('scale', [curve], { by: number(attributes, 'alpha', 1) })])
}

function expand(reading: Reading): Value {
  const { t } = reading, x = made(reading, 0)
  const shapes = [0, 1].map((i) => listAt(reading, 1, i as 0 | 1)!) as [number[], number[]]
  return t.step('spread', [x], { sizes: t.sizes(shapes) })
}

/** The operators by name. */
export const operators: Readonly<Record<string, Operator>> = {
  Conv: conv,
  Gemm: gemm,
  MatMul: matmul,
  Einsum: einsum,
  BatchNormalization: norm,
  LayerNormalization: layerNorm,
  InstanceNormalization: instanceNorm,
  GroupNormalization: groupNorm,
  Sum: (reading) => summed(reading),
  Mean: (reading) => reading.t.step('scale', [summed(reading)], { by: 1 / reading.args.length }),
  PRelu: prelu,
  Elu: elu,
  Mish({ t, ...reading }) {
    const x = made({ t, ...reading }, 0)
    return t.step('mul', [x, t.step('tanh', [t.step('softplus', [x])])])
  },
  Add: add,
  Sub: binary(
    'sub',
    (t, x, value, isRight) => t.step('offset', [isRight ? x : t.step('neg', [x])], { by: isRight ? -value : value }),
  ),
  Mul: binary('mul', (t, x, by) => t.step('scale', [x], { by })),
  Div: binary(
    'div',
    (t, x, value, isRight) =>
      t.step('scale', [isRight ? x : t.step('reciprocal', [x])], { by: isRight ? 1 / value : value }),
  ),
  Pow: binary('power', (t, x, exponent, isRight) => isRight ? t.step('pow', [x], { exponent }) : null),
  Max: binary('maximum'),
  Min: binary('minimum'),
  Relu: unary('relu'),
  Gelu: (reading) =>
    reading.t.step(reading.attributes.approximate === 'tanh' ? 'gelu-tanh' : 'gelu', [made(reading, 0)]),
  Silu: unary('silu'),
  HardSwish: unary('hardswish'),
  HardSigmoid(reading) {
    const { t, attributes } = reading
    const line = t.step('scale', [made(reading, 0)], { by: number(attributes, 'alpha', 0.2) })
    return t.step('clamp', [t.step('offset', [line], { by: number(attributes, 'beta', 0.5) })], { low: 0, high: 1 })
  },
  Sigmoid: unary('sigmoid'),
  Tanh: unary('tanh'),
  Erf: unary('erf'),
  Exp: unary('exp'),
  Log: unary('log'),
  Sqrt: unary('sqrt'),
  Abs: unary('abs'),
  Neg: unary('neg'),
  Sin: unary('sin'),
  Cos: unary('cos'),
  Reciprocal: unary('reciprocal'),
  Softplus: unary('softplus'),
  LeakyRelu: unary('leaky-relu', ({ attributes }) => ({ slope: number(attributes, 'alpha', 0.01) })),
  Clip: clip,
  Softmax: softmax('softmax'),
  LogSoftmax: softmax('log-softmax'),
  MaxPool: pool('max-pool'),
  AveragePool: pool('avg-pool'),
  GlobalAveragePool: overPlaces('mean'),
  GlobalMaxPool: overPlaces('max'),
  ReduceMean: reduction('mean'),
  ReduceSum: reduction('sum'),
  ReduceMax: reduction('max'),
  ReduceMin: reduction('min'),
  ReduceL2: reduction('norm'),
  Reshape: reshaping((shape, reading, i) =>
    reshaped(shape, listAt(reading, 1, i) ?? [], number(reading.attributes, 'allowzero', 0) === 1)
  ),
  Flatten: reshaping((shape, { attributes }) => {
    const axis = axisIn(number(attributes, 'axis', 1), shape.length + 1)
    return [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis))]
  }),
  Squeeze: reshaping((shape, reading, i) => squeezed(shape, listAt(reading, 1, i) ?? ints(reading.attributes, 'axes'))),
  Unsqueeze: reshaping((shape, reading, i) =>
    unsqueezed(shape, listAt(reading, 1, i) ?? ints(reading.attributes, 'axes'))
  ),
  Transpose: unary('permute', (reading) => {
    const rank = rankOf(made(reading, 0))
    return {
      order: ints(reading.attributes, 'perm', Array.from({ length: rank }, (_, i) => rank - 1 - i)).map((axis) =>
        axisIn(axis, rank)
      ),
    }
  }),
  Slice: sliced,
  Gather: gather,
  Split: split,
  Concat(reading) {
    const parts = reading.args.map((_, i) => made(reading, i))
    return reading.t.step('concat', parts, { axis: axisIn(number(reading.attributes, 'axis', 0), rankOf(parts[0])) })
  },
  Pad: padded,
  Expand: expand,
  Identity({ t, args: [x] }) {
    if (x?.kind === 'made') t.shared.add(x.at)
    return x!
  },
  Cast({ t, args: [x], attributes }) {
    // The value has two names now.
    if (x?.kind === 'made') t.shared.add(x.at)
    if ([1, 10, 11, 16].includes(number(attributes, 'to', 1))) return x!
    throw new InputError('it makes whole numbers of what is computed from the images, expected floats')
  },
}

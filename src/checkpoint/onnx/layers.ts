// Layers of a foreign graph: what has weights, and windows over maps.
import { InputError } from '../../base/errors.ts'
import { sizeOf } from '../../base/shape.ts'
import type { HostTensor } from '../weights.ts'
import { axisIn, type Constant, ints, number } from './fold.ts'
import { binary, known, made, type Operator, optional, rankOf, type Reading, shapeOf } from './reading.ts'
import { host, isFixed, type Made, type Translator, type Value } from './translator.ts'

/** A product with a constant matrix [inputs, outputs], turned as our layers hold it. */
function linear(
  reading: Reading,
  x: Made,
  { shape, values }: Constant,
  { turned, scale = 1, bias }: { turned: boolean, scale?: number, bias?: HostTensor },
): Made {
  const { t, names } = reading, [K, N] = turned ? [shape[1], shape[0]] : shape
  const weight = Float32Array.from({ length: K * N }, (_, i) => {
    const n = Math.floor(i / K), k = i % K
    return scale * values[turned ? i : k * N + n]
  })
  const flat = flattened(t, x, K)
  const layer = {
    name: t.layerName(names[1], 'linear'),
    tensors: { weight: host(flat ? [N, ...flat.shape] : [N, K], weight), ...bias && { bias } },
  }
  return t.step('linear', [flat?.x ?? x], { over: flat ? flat.shape.length : 1 }, layer)
}

/** Where a map is flattened for a linear layer alone: the map, so that a channel stays one axis of the weight. */
function flattened(t: Translator, x: Made, K: number): { x: Made, shape: readonly number[] } | null {
  const step = x.at ? t.steps[x.at - 1] : null
  if (step?.kind !== 'reshape' || (t.reads.get(x.at) ?? 0) > 0) return null
  const before = t.shapes.get(step.from[0]), shape = before && before.pair[0].shape.slice(1)
  if (!shape || shape.length < 2 || rankOf(x) !== 2 || sizeOf(shape) !== K || shape.slice(1).every((n) => n === 1)) {
    return null
  }
  return { x: before, shape }
}

/** `Gemm`. */
export function gemm(reading: Reading): Made {
  const { attributes } = reading
  if (number(attributes, 'transA', 0)) throw new InputError('its first matrix is transposed, expected as it stands')
  const weight = known(reading, 1, 'its matrix'), turned = number(attributes, 'transB', 0) === 1
  const outputs = weight.shape[turned ? 0 : 1],
    added = optional(reading, 2, 'its bias'),
    beta = number(attributes, 'beta', 1)
  const bias = added
    && host(
      [outputs],
      Float32Array.from({ length: outputs }, (_, i) => beta * added.values[added.values.length === 1 ? 0 : i]),
    )
  if (added && ![1, outputs].includes(added.values.length)) {
    throw new InputError(`its bias is [${added.shape}], expected [${outputs}]`)
  }
  return linear(reading, made(reading, 0), weight, { turned, scale: number(attributes, 'alpha', 1), bias })
}

/** `MatMul`. */
export function matmul(reading: Reading): Made {
  const { t, args } = reading, [a, b] = args
  const constant = b?.kind === 'known' && isFixed(b) ? b.pair[0] : null
  if (a?.kind === 'made' && constant?.shape.length === 2) return linear(reading, a, constant, { turned: false })
  return t.step('matmul', [made(reading, 0), made(reading, 1)])
}

/** A sum; of a linear layer without bias and a constant of its outputs, the layer's bias. */
export function add(reading: Reading): Value {
  const { t, args } = reading
  for (const at of [0, 1]) {
    const x = args[at], c = args[1 - at]
    if (x?.kind !== 'made' || c?.kind !== 'known' || !isFixed(c)) continue
    const [{ shape, values }] = c.pair, layer = t.layerOf(x, reading.names[at])
    if (!layer || t.steps[x.at - 1].kind !== 'linear' || sizeOf(shape) !== shape.at(-1)) continue
    const [outputs] = layer.weight.shape
    if (layer.bias as HostTensor | undefined || values.length !== outputs) continue
    layer.bias = host([outputs], values)
    return x
  }
  return binary('add', (t, x, by) => t.step('offset', [x], { by }))(reading)
}

/** `Conv`. */
export function conv(reading: Reading): Made {
  const { t, attributes, names } = reading, x = made(reading, 0), weight = known(reading, 1, 'its weight')
  if (weight.shape.length !== 4) {
    throw new InputError(`its weight is [${weight.shape}], expected a convolution of images, [outputs, inputs, y, x]`)
  }
  const bias = optional(reading, 2, 'its bias'), size = weight.shape.slice(2)
  const at = windows(reading, x, size), padded = at.even ? x : pad(t, x, at.pads, 0)
  return t.step('conv2d', [padded], {
    stride: at.stride,
    padding: at.even ? at.pads.slice(0, 2) : [0, 0],
    dilation: at.dilation,
    groups: number(attributes, 'group', 1),
  }, {
    name: t.layerName(names[1], 'conv'),
    tensors: { weight: host(weight.shape, weight.values), ...bias && { bias: host(bias.shape, bias.values) } },
  })
}

const pad = (t: Translator, x: Made, [top, left, bottom, right]: readonly number[], value: number): Made =>
  t.step('pad', [x], { before: [0, 0, top, left], after: [0, 0, bottom, right], value })

/** Strides, dilations and pads of windows; `even` where both sides have the same. */
function windows({ attributes }: Reading, x: Made, size: readonly number[]) {
  if (rankOf(x) !== 4) throw new InputError(`it reads [${shapeOf(x)}], expected images, [batch, channels, y, x]`)
  const stride = ints(attributes, 'strides', [1, 1]), dilation = ints(attributes, 'dilations', [1, 1])
  const auto = attributes.auto_pad as string | undefined ?? 'NOTSET'
  let pads = [...ints(attributes, 'pads', [0, 0, 0, 0])]
  if (auto.startsWith('SAME')) {
    const total = [0, 1].map((i) => {
      const n = shapeOf(x)[i + 2], reach = dilation[i] * (size[i] - 1) + 1
      return Math.max(0, (Math.ceil(n / stride[i]) - 1) * stride[i] + reach - n)
    })
    const less = total.map((n) => n >> 1), more = total.map((n, i) => n - less[i])
    pads = auto === 'SAME_LOWER' ? [...more, ...less] : [...less, ...more]
  }
  const lists: [string, readonly number[], number, number][] = [['strides', stride, 2, 1], [
    'dilations',
    dilation,
    2,
    1,
  ], ['pads', pads, 4, 0]]
  for (const [what, list, count, least] of lists) {
    if (list.length !== count || !list.every((n) => n >= least && n <= 4096)) {
      throw new InputError(`its ${what} are [${list}], expected ${count} numbers from ${least} to 4096`)
    }
  }
  return { stride, dilation, pads, even: pads[0] === pads[2] && pads[1] === pads[3] }
}

/** `MaxPool` and `AveragePool`. */
export const pool = (kind: 'max-pool' | 'avg-pool'): Operator => (reading) => {
  const { t, attributes, outputs } = reading, x = made(reading, 0), size = ints(attributes, 'kernel_shape')
  const { stride, dilation, pads, even } = windows(reading, x, size), isMax = kind === 'max-pool'
  if (dilation.some((n) => n !== 1) || outputs > 1) {
    throw new InputError('its windows are dilated or it gives indices, expected plain windows')
  }
  // Where the last window is not whole, ceil_mode has it too.
  const short = number(attributes, 'ceil_mode', 0)
    ? [0, 1].map((i) => {
      const rest = shapeOf(x)[i + 2] + pads[i] + pads[i + 2] - size[i],
        extra = (stride[i] - rest % stride[i]) % stride[i]
      return extra && rest + extra - pads[i] < shapeOf(x)[i + 2] + size[i] ? extra : 0
    })
    : [0, 0]
  const all = pads.map((n, i) => i < 2 ? n : n + short[i - 2]), isEven = even && !short[0] && !short[1]
  const counts = number(attributes, 'count_include_pad', 0) === 1
  const leavesOut = !isMax && !counts && all.some((n) => n > 0)
  if (!isMax && counts && (short[0] || short[1])) {
    throw new InputError('its last windows are not whole and padding counts, expected windows within the padded map')
  }
  const fits = isEven && 2 * all[0] <= size[0] && 2 * all[1] <= size[1]
  const padded = fits ? x : pad(t, x, all, isMax ? -3e38 : 0)
  const y = t.step(kind, [padded], { size, stride, padding: fits ? all.slice(0, 2) : [0, 0] })
  return leavesOut ? t.step('mul', [y, shares(reading, x, y, { size, stride, pads: all })]) : y
}

/** How much more each mean is where only what lies in the map counts: size of a window over how much of it does. */
function shares(
  { t }: Reading,
  x: Made,
  y: Made,
  { size, stride, pads }: { size: readonly number[], stride: readonly number[], pads: readonly number[] },
): Made {
  const inside = [0, 1].map((i) =>
    Array.from({ length: shapeOf(y)[i + 2] }, (_, at) => {
      const from = at * stride[i] - pads[i]
      return Math.min(from + size[i], shapeOf(x)[i + 2]) - Math.max(from, 0)
    })
  )
  if (inside.flat().some((n) => n < 1)) throw new InputError('some of its windows lie in the padding alone')
  const values = inside[0].flatMap((a) => inside[1].map((b) => size[0] * size[1] / (a * b)))
  const value = host([1, 1, inside[0].length, inside[1].length], values)
  return t.step('parameter', [], {}, { name: t.layerName('', 'shares'), tensors: { value } })
}

/** `BatchNormalization`. */
export function norm(reading: Reading): Made {
  const { t, attributes, names } = reading
  if (number(attributes, 'training_mode', 0)) {
    throw new InputError('it is in training mode, expected an export of inference')
  }
  const [gain, bias, mean, variance] = [1, 2, 3, 4].map((at) => known(reading, at, 'a statistic'))
  const of = ({ shape, values }: Constant) => host(shape, values),
    x = made(reading, 0),
    eps = number(attributes, 'epsilon', 1e-5)
  const layer = t.layerOf(x, names[0]), channels = gain.values.length
  // Channels are axis 1: of a linear layer's output only where that has no other but the batch.
  const isOutput = rankOf(x) === 2 || (x.at > 0 && t.steps[x.at - 1].kind === 'conv2d')
  if (layer && isOutput && layer.weight.shape[0] === channels) {
    // Into the layer before it, which nothing else reads: what relevance and pruning want anyway.
    const factors = Float64Array.from(gain.values, (value, i) => value / Math.sqrt(variance.values[i] + eps))
    const old = layer.bias as HostTensor | undefined, each = layer.weight.data.length / channels
    layer.weight = host(layer.weight.shape, layer.weight.data.map((value, i) => value * factors[Math.floor(i / each)]))
    layer.bias = host(
      [channels],
      Float32Array.from(factors, (factor, i) => ((old?.data[i] ?? 0) - mean.values[i]) * factor + bias.values[i]),
    )
    return x
  }
  return t.step('batch-norm', [x], { eps }, {
    name: t.layerName(names[1], 'norm'),
    tensors: { gain: of(gain), bias: of(bias), mean: of(mean), variance: of(variance) },
  })
}

/** `LayerNormalization`. */
export function layerNorm(reading: Reading): Made {
  const { t, attributes, names } = reading, x = made(reading, 0)
  const axis = axisIn(number(attributes, 'axis', -1), rankOf(x)), shape = shapeOf(x).slice(axis)
  const gain = known(reading, 1, 'its gain'), bias = optional(reading, 2, 'its bias')
  if (sizeOf(shape) !== gain.values.length) throw new InputError(`its gain is [${gain.shape}], expected [${shape}]`)
  return t.step('layer-norm', [x], { eps: number(attributes, 'epsilon', 1e-5) }, {
    name: t.layerName(names[1], 'norm'),
    tensors: { gain: host(shape, gain.values), bias: host(shape, bias?.values ?? new Float32Array(sizeOf(shape))) },
  })
}

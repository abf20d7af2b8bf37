// Norms over parts of a map: of each channel of each image, or of groups of channels.
import { InputError } from '../../base/errors.ts'
import { sizeOf } from '../../base/shape.ts'
import { number } from './fold.ts'
import { known, made, rankOf, type Reading, reshapeTo, shapeOf } from './reading.ts'
import { host, type Made, type Translator } from './translator.ts'

/** (x - mean) / sqrt(variance + eps), over all axes behind the first two. */
function normalised(t: Translator, x: Made, eps: number): Made {
  const axes = shapeOf(x).slice(2).map((_, i) => i + 2)
  const centred = t.step('sub', [x, t.step('mean', [x], { axes, keep: true })])
  const variance = t.step('mean', [t.step('mul', [centred, centred])], { axes, keep: true })
  return t.step('div', [centred, t.step('sqrt', [t.step('offset', [variance], { by: eps })])])
}

/** x times a factor of each channel, plus a number of each; where they are 1 and 0, x. */
function scaled(reading: Reading, x: Made, gain: ArrayLike<number>, bias: ArrayLike<number>): Made {
  const { t, names } = reading, shape = [gain.length, ...shapeOf(x).slice(2).map(() => 1)]
  const parameter = (name: string, values: ArrayLike<number>) =>
    t.step('parameter', [], {}, { name: t.layerName(name, 'norm'), tensors: { value: host(shape, values) } })
  const isAll = (values: ArrayLike<number>, expected: number) => Array.from(values).every((value) => value === expected)
  const product = isAll(gain, 1) ? x : t.step('mul', [x, parameter(names[1], gain)])
  return isAll(bias, 0) ? product : t.step('add', [product, parameter(names[2], bias)])
}

/** The factors and numbers of channels. @throws InputError where there are not so many. */
function factors(reading: Reading, count: number) {
  const gain = known(reading, 1, 'its gain').values, bias = known(reading, 2, 'its bias').values
  if (gain.length === count && bias.length === count) return { gain, bias }
  throw new InputError(`its gain and bias have ${gain.length} and ${bias.length} numbers, expected ${count}`)
}

/** `InstanceNormalization`; of a map whose channels were put into groups before it, PyTorch's group norm. */
export function instanceNorm(reading: Reading): Made {
  const { t, attributes } = reading, x = made(reading, 0)
  if (rankOf(x) < 3) throw new InputError(`it reads [${shapeOf(x)}], expected [batch, channels, ...]`)
  const { gain, bias } = factors(reading, shapeOf(x)[1])
  return scaled(reading, normalised(t, x, number(attributes, 'epsilon', 1e-5)), gain, bias)
}

/** `GroupNormalization`: factors of each channel; before opset 21, of each group. */
export function groupNorm(reading: Reading): Made {
  const { t, attributes, opset } = reading, x = made(reading, 0), groups = number(attributes, 'num_groups', 0)
  const [, channels] = shapeOf(x), each = channels / groups
  if (rankOf(x) < 3 || !(groups >= 1) || !Number.isInteger(each)) {
    throw new InputError(`it has ${groups} groups of [${shapeOf(x)}], expected channels that they divide`)
  }
  const grouped = ({ shape: [n, ...rest] }: { shape: readonly number[] }) => [n, groups, sizeOf(rest) / groups]
  const [a, b] = x.pair,
    y = normalised(
      t,
      reshapeTo(t, x, [grouped(a), grouped(b)]),
      number(attributes, 'epsilon', 1e-5),
    )
  const { gain, bias } = factors(reading, opset < 21 ? groups : channels)
  const perChannel = (values: ArrayLike<number>) =>
    opset < 21 ? Array.from({ length: channels }, (_, i) => values[Math.floor(i / each)]) : values
  return scaled(reading, reshapeTo(t, y, [a.shape, b.shape]), perChannel(gain), perChannel(bias))
}

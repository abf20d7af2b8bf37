// What a foreign graph computes of constants and of shapes: done once, when it is read. Exporters write much of it: the
// sizes of a reshape, scales, tables of positions.
import { InputError } from '../../base/errors.ts'
import { sizeOf } from '../../base/shape.ts'
import type { OnnxAttribute } from '../../core/onnx-form.ts'

/** A tensor on the host. */
export interface Constant {
  shape: readonly number[]
  values: ArrayLike<number>
  /** Whether its values are floats, to which division is not rounded. */
  float: boolean
}

/** More elements than a constant that is computed may have: expanding one is cheap to write and large to hold. */
const MOST = 2 ** 26

type Attributes = Readonly<Record<string, OnnxAttribute>>
type Fold = (args: readonly Constant[], attributes: Attributes) => Constant | Constant[]

/** An axis as a number from 0. @throws InputError where there is none. */
export const axisIn = (axis: number, rank: number): number => {
  const at = axis < 0 ? axis + rank : axis
  if (Number.isInteger(at) && at >= 0 && at < rank) return at
  throw new InputError(`axis ${axis} of ${rank} axes, expected one that is there`)
}

/** Whole numbers of an attribute. */
export const ints = (attributes: Attributes, name: string, otherwise: readonly number[] = []): readonly number[] => {
  const value = Object.hasOwn(attributes, name) ? attributes[name] : otherwise
  return Array.isArray(value) ? value as number[] : typeof value === 'number' ? [value] : otherwise
}
/** A number of an attribute, whole or not. */
export const number = (attributes: Attributes, name: string, otherwise: number): number => {
  const value: unknown = Object.hasOwn(attributes, name) ? attributes[name] : otherwise
  if (typeof value === 'number') return value
  return typeof value === 'object' && value !== null && 'float' in value ? value.float as number : otherwise
}

function checked(shape: readonly number[]): readonly number[] {
  if (shape.length <= 8 && shape.every((n) => Number.isInteger(n) && n >= 0) && sizeOf(shape) <= MOST) return shape
  throw new InputError(`a constant of shape [${shape.slice(0, 12)}], expected at most 2^26 elements`)
}

const make = (shape: readonly number[], float: boolean, at: (index: number) => number): Constant => {
  const size = sizeOf(checked(shape))
  const values = float ? new Float32Array(size) : new Array<number>(size)
  for (let i = 0; i < size; i++) values[i] = at(i)
  return { shape, values, float }
}

const strides = (shape: readonly number[]): number[] => {
  const out = shape.map(() => 1)
  for (let axis = shape.length - 2; axis >= 0; axis--) out[axis] = out[axis + 1] * shape[axis + 1]
  return out
}

/** The shape that two shapes broadcast to. */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1]
    if (x !== y && x !== 1 && y !== 1) throw new InputError(`[${a}] and [${b}] do not broadcast`)
    return x === 1 ? y : x
  })
}

/** Element i of `shape` read from a tensor that broadcasts to it. */
function reader({ shape: own, values }: Constant, shape: readonly number[]) {
  const out = strides(shape), mine = strides(own), skip = shape.length - own.length
  return (index: number) => {
    let at = 0
    for (let axis = 0; axis < own.length; axis++) {
      if (own[axis] !== 1) at += Math.floor(index / out[axis + skip]) % shape[axis + skip] * mine[axis]
    }
    return values[at]
  }
}

const elementwise = (f: (...values: number[]) => number): Fold => (args) => {
  const shape = args.map((arg) => arg.shape).reduce(broadcast), float = args.some((arg) => arg.float)
  const read = args.map((arg) => reader(arg, shape))
  return make(shape, float, (i) => f(...read.map((one) => one(i))))
}

/** A matrix transposed: large weights come so. */
function turned({ shape: [rows, columns], values, float }: Constant): Constant {
  const out = float ? new Float32Array(rows * columns) : new Array<number>(rows * columns)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]
  return { shape: [columns, rows], values: out, float }
}

/** A new order of elements: `at` gives the place in the argument. */
const moved = (x: Constant, shape: readonly number[], at: (place: readonly number[]) => number): Constant => {
  const steps = strides(shape)
  return make(shape, x.float, (i) => x.values[at(steps.map((step, axis) => Math.floor(i / step) % shape[axis]))])
}

/** A shape with 0 (as it was) and -1 (what is left) worked out. */
export function reshaped(from: readonly number[], wanted: readonly number[], allowZero: boolean): number[] {
  const shape = wanted.map((n, axis) => n === 0 && !allowZero ? from[axis] : n)
  const known = shape.reduce((product, n) => n === -1 ? product : product * n, 1)
  const full = shape.map((n) => n === -1 ? sizeOf(from) / known : n)
  if (full.every((n) => Number.isInteger(n) && n >= 0) && sizeOf(full) === sizeOf(from)) return full
  throw new InputError(`[${from}] does not fill [${wanted}]`)
}

/** Where a slice begins, ends and how far it steps, for every axis. */
export function slices(
  shape: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[],
  steps: readonly number[],
) {
  const all = shape.map((n) => ({ start: 0, stop: n, step: 1 }))
  axes.forEach((axis, i) => {
    const at = axisIn(axis, shape.length), n = shape[at], step = steps[i] ?? 1
    if (!Number.isInteger(step) || step === 0) throw new InputError(`a slice in steps of ${step}, expected whole steps`)
    // Backwards it may end before the first entry.
    const [least, most] = step > 0 ? [0, n] : [-1, n - 1]
    const clip = (value: number) => Math.min(most, Math.max(least, value < 0 ? value + n : value))
    all[at] = { start: clip(starts[i]), stop: clip(ends[i]), step }
  })
  return all
}

/** Without these axes of size 1, or without all of them. */
export const squeezed = (shape: readonly number[], axes: readonly number[]) => {
  const gone = axes.map((axis) => axisIn(axis, shape.length))
  return shape.filter((n, axis) => gone.length ? !gone.includes(axis) : n !== 1)
}
/** With axes of size 1 at these places. */
export const unsqueezed = (shape: readonly number[], axes: readonly number[]) => {
  const rank = shape.length + axes.length, at = axes.map((axis) => axisIn(axis, rank)), rest = [...shape]
  return Array.from({ length: rank }, (_, axis) => at.includes(axis) ? 1 : rest.shift()!)
}
/** Axes of an operator that had them as an attribute before some opset, and as an input after. */
export const axesOf = (args: readonly (Constant | undefined)[], attributes: Attributes, at = 1): number[] =>
  args[at] ? Array.from(args[at].values) : [...ints(attributes, 'axes')]

const view = (x: Constant, shape: readonly number[]): Constant => ({ ...x, shape })
const FLOATS = [1, 10, 11, 16]

/** Operators that are computed when a file is read. */
export const folds: Readonly<Record<string, Fold>> = {
  Identity: ([x]) => x,
  Add: elementwise((a, b) => a + b),
  Sub: elementwise((a, b) => a - b),
  Mul: elementwise((a, b) => a * b),
  Div: (args, attributes) =>
    elementwise(args.some(({ float }) => float) ? (a, b) => a / b : (a, b) => Math.trunc(a / b))(args, attributes),
  Pow: elementwise(Math.pow),
  Mod: elementwise((a, b) => a - b * Math.floor(a / b)),
  Relu: elementwise((a) => Math.max(a, 0)),
  MatMul([x, y]) {
    const [K, N] = y.shape, rows = sizeOf(x.shape.slice(0, -1))
    if (y.shape.length !== 2 || !x.shape.length || x.shape.at(-1) !== K) {
      throw new InputError(`a product of the constants [${x.shape}] and [${y.shape}], expected [..., n] and [n, m]`)
    }
    if (rows * K * N > 2 ** 30) throw new InputError('a product of constants that takes 2^30 steps; it is damaged')
    const values = new Float32Array(sizeOf(checked([rows, N])))
    for (let r = 0; r < rows; r++) {
      for (let n = 0; n < N; n++) {
        let sum = 0
        for (let k = 0; k < K; k++) sum += x.values[r * K + k] * y.values[k * N + n]
        values[r * N + n] = sum
      }
    }
    return { shape: [...x.shape.slice(0, -1), N], values, float: true }
  },
  Neg: elementwise((a) => -a),
  Sqrt: elementwise(Math.sqrt),
  Exp: elementwise(Math.exp),
  Log: elementwise(Math.log),
  Abs: elementwise(Math.abs),
  Floor: elementwise(Math.floor),
  Ceil: elementwise(Math.ceil),
  Reciprocal: elementwise((a) => 1 / a),
  Min: elementwise(Math.min),
  Max: elementwise(Math.max),
  Sigmoid: elementwise((a) => 1 / (1 + Math.exp(-a))),
  Softplus: elementwise((a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)))),
  Equal: elementwise((a, b) => Number(a === b)),
  Greater: elementwise((a, b) => Number(a > b)),
  Less: elementwise((a, b) => Number(a < b)),
  GreaterOrEqual: elementwise((a, b) => Number(a >= b)),
  LessOrEqual: elementwise((a, b) => Number(a <= b)),
  Xor: elementwise((a, b) => Number(Boolean(a) !== Boolean(b))),
  Sign: elementwise(Math.sign),
  Not: elementwise((a) => Number(!a)),
  And: elementwise((a, b) => Number(a && b)),
  Or: elementwise((a, b) => Number(a || b)),
  Where: elementwise((c, a, b) => c ? a : b),
  Cast([x], attributes) {
    const float = FLOATS.includes(number(attributes, 'to', 1))
    return make(x.shape, float, (i) => float ? x.values[i] : Math.trunc(x.values[i]))
  },
  Shape([{ shape }], attributes) {
    const part = shape.slice(number(attributes, 'start', 0), number(attributes, 'end', shape.length))
    return { shape: [part.length], values: part, float: false }
  },
  Size: ([{ shape }]) => ({ shape: [], values: [sizeOf(shape)], float: false }),
  Reshape: ([x, to], attributes) =>
    view(x, reshaped(x.shape, Array.from(to.values), number(attributes, 'allowzero', 0) === 1)),
  Flatten([x], attributes) {
    const axis = axisIn(number(attributes, 'axis', 1), x.shape.length + 1)
    return view(x, [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))])
  },
  Squeeze: (args, attributes) => view(args[0], squeezed(args[0].shape, axesOf(args, attributes))),
  Unsqueeze: (args, attributes) => view(args[0], unsqueezed(args[0].shape, axesOf(args, attributes))),
  Transpose([x], attributes) {
    const order = ints(attributes, 'perm', x.shape.map((_, i) => x.shape.length - 1 - i)), steps = strides(x.shape)
    const axes = order.map((axis) => axisIn(axis, x.shape.length))
    if (axes.join() === '1,0') return turned(x)
    return moved(
      x,
      axes.map((axis) => x.shape[axis]),
      (place) => place.reduce((at, p, i) => at + p * steps[axes[i]], 0),
    )
  },
  Slice(args, attributes) {
    const [x] = args,
      list = (at: number, name: string) => args[at] ? Array.from(args[at].values) : ints(attributes, name)
    const starts = list(1, 'starts'), axes = args[3] ? list(3, '') : ints(attributes, 'axes', starts.map((_, i) => i))
    const taken = slices(x.shape, starts, list(2, 'ends'), axes, args[4] ? list(4, '') : [])
    const shape = taken.map(({ start, stop, step }) => Math.max(0, Math.ceil((stop - start) / step))),
      steps = strides(x.shape)
    return moved(
      x,
      shape,
      (place) => place.reduce((at, p, i) => at + (taken[i].start + p * taken[i].step) * steps[i], 0),
    )
  },
  Concat(args, attributes) {
    const axis = axisIn(number(attributes, 'axis', 0), args[0].shape.length)
    const shape = args[0].shape.with(axis, args.reduce((sum, arg) => sum + arg.shape[axis], 0)), steps = strides(shape)
    return make(shape, args[0].float, (i) => {
      const place = steps.map((step, each) => Math.floor(i / step) % shape[each])
      let from = 0
      while (place[axis] >= args[from].shape[axis]) place[axis] -= args[from++].shape[axis]
      return args[from].values[strides(args[from].shape).reduce((at, step, each) => at + step * place[each], 0)]
    })
  },
  Gather([x, index], attributes) {
    const axis = axisIn(number(attributes, 'axis', 0), x.shape.length), n = x.shape[axis], steps = strides(x.shape)
    const shape = [...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)], own = strides(index.shape)
    return moved(x, shape, (place) => {
      const inner = place.slice(axis, axis + index.shape.length)
      const asked = index.values[inner.reduce((at, p, i) => at + p * own[i], 0)], picked = asked < 0 ? asked + n : asked
      if (!(picked >= 0 && picked < n)) throw new InputError(`entry ${asked} of ${n}, expected one that is there`)
      const all = [...place.slice(0, axis), picked, ...place.slice(axis + index.shape.length)]
      return all.reduce((at, p, i) => at + p * steps[i], 0)
    })
  },
  Expand([x, to]) {
    const shape = broadcast(x.shape, checked(Array.from(to.values))), read = reader(x, shape)
    return make(shape, x.float, read)
  },
  Tile([x, repeats]) {
    const shape = x.shape.map((n, axis) => n * repeats.values[axis]), steps = strides(x.shape)
    return moved(x, checked(shape), (place) => place.reduce((at, p, i) => at + p % x.shape[i] * steps[i], 0))
  },
  ConstantOfShape: ([to], attributes) =>
    make(Array.from(to.values), attributes.isFloat !== 0, () => number(attributes, 'filled', 0)),
  Range: ([start, limit, delta]) =>
    make(
      [Math.max(0, Math.ceil((limit.values[0] - start.values[0]) / delta.values[0]))],
      start.float,
      (i) => start.values[0] + i * delta.values[0],
    ),
  ReduceProd: ([x]) => ({ shape: [], values: [Array.from(x.values).reduce((a, b) => a * b, 1)], float: x.float }),
  ScatterND([x, index, updates], attributes) {
    if ((attributes.reduction ?? 'none') !== 'none') {
      throw new InputError('it combines entries, expected it to put them')
    }
    const depth = index.shape.at(-1) ?? 0, inner = sizeOf(x.shape.slice(depth)), steps = strides(x.shape)
    const places = sizeOf(index.shape.slice(0, -1)), values = Array.from(x.values)
    if (depth > x.shape.length || updates.values.length !== places * inner) {
      throw new InputError(`[${updates.shape}] does not fill the places [${index.shape}] of [${x.shape}]`)
    }
    if (!inner) return x // of nothing there may be any number of places
    for (let i = 0; i < places; i++) {
      let at = 0
      for (let axis = 0; axis < depth; axis++) {
        const asked = index.values[i * depth + axis], n = x.shape[axis], picked = asked < 0 ? asked + n : asked
        if (!(picked >= 0 && picked < n)) throw new InputError(`entry ${asked} of ${n}, expected one that is there`)
        at += picked * steps[axis]
      }
      for (let j = 0; j < inner; j++) values[at + j] = updates.values[i * inner + j]
    }
    return { shape: x.shape, values: x.float ? Float32Array.from(values) : values, float: x.float }
  },
  Split(args, attributes) {
    const [x] = args,
      axis = axisIn(number(attributes, 'axis', 0), x.shape.length),
      sizes = splitSizes(x.shape[axis], args[1], attributes)
    let start = 0
    return sizes.map((size) => {
      const from = start, steps = strides(x.shape)
      start += size
      return moved(
        x,
        x.shape.with(axis, size),
        (place) => place.reduce((at, p, i) => at + (p + (i === axis ? from : 0)) * steps[i], 0),
      )
    })
  },
}

/** How many inputs they take where that is not one; those of the first group may lack what stands behind the first. */
const lenient = new Set(['Slice', 'Split', 'Squeeze', 'Unsqueeze'])
const inputs: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    'Add Sub Mul Div Pow Mod Equal Greater Less GreaterOrEqual LessOrEqual Xor And Or MatMul Reshape Gather Expand Tile'
      .split(' ').map((type) => [type, 2]),
  ),
  Where: 3,
  Range: 3,
  ScatterND: 3,
}

/** An operator of constants, computed. @throws InputError for what it cannot read. */
export function folded(
  type: string,
  args: readonly (Constant | null)[],
  attributes: Attributes,
): Constant | Constant[] {
  const least = Object.hasOwn(inputs, type) ? inputs[type] : 1
  const missing = lenient.has(type)
    ? args.at(0) ? -1 : 0
    : args.includes(null)
    ? args.indexOf(null)
    : args.length < least
    ? args.length
    : -1
  if (missing >= 0) throw new InputError(`its input ${missing + 1} is missing`)
  return folds[type](args as readonly Constant[], attributes)
}

/** Sizes of the parts of a split, by an input, an attribute, or the number of outputs. */
export function splitSizes(size: number, given: Constant | undefined, attributes: Attributes): readonly number[] {
  const parts = number(attributes, 'outputs', 1)
  const sizes = given ? Array.from(given.values) : ints(attributes, 'split')
  const each = Math.ceil(size / parts)
  const all = sizes.length ? sizes : Array.from({ length: parts }, (_, i) => Math.min(each, size - i * each))
  if (all.every((n) => n >= 1) && all.reduce((a, b) => a + b, 0) === size) return all
  throw new InputError(`parts of [${all}] of an axis of ${size}, expected them to add up`)
}

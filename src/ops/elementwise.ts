// Elementwise ops: tables over two kernels; those of one argument stand in elementwise-table.ts. Expressions are WGSL
// on vec4f.
import { ShapeError } from '../base/errors.ts'
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { broadcastShape, broadcastStrides, launchBroadcast, type Operand } from './shared/broadcast.ts'
import { op, type OpFunction, type OpSpec } from '../core/op.ts'
import type { Role } from '../core/roles.ts'
import type { ZeroRule } from '../core/tape.ts'
import { full } from '../core/fill.ts'
import { unbroadcast } from './shared/reduce-axes.ts'
import { choose, type Variant, variants } from './shared/variants.ts'
import { one, type UnaryRow, unaryTable, zero } from './elementwise-table.ts'

// ---- one argument -----------------------------------------------------------------------------------------------

/** Names of the elementwise ops of one argument. */
export type UnaryName = keyof typeof unaryTable

const kernels = new Map<string, Kernel>()

function unaryKernel(name: UnaryName, part: 'f' | 'derivative' | 'ratio'): Kernel {
  const row: UnaryRow = unaryTable[name]
  if (part === 'ratio' && row.ratio === row.derivative) return unaryKernel(name, 'derivative')
  const key = `${name} ${part}`
  let made = kernels.get(key)
  if (!made) {
    const expression = row[part]!
    made = part !== 'f'
      ? kernel('elementwise.wgsl', {
        entry: 'backward',
        buffers: ['x', 'y', 'out'],
        params: ['size', 'a', 'b'],
        splice: { '/*expression*/': expression },
        label: key,
      })
      : kernel('elementwise.wgsl', {
        entry: 'forward',
        buffers: ['x', 'out'],
        params: ['size', 'a', 'b'],
        splice: { '/*expression*/': expression },
        label: key,
      })
    kernels.set(key, made)
  }
  return made
}

/** The kernels of every row of the tables, for tests that compile them all. */
export function elementwiseKernels(): Kernel[] {
  const unaries = Object.entries(unaryTable).flatMap(([name, row]) =>
    (['f', 'derivative', 'ratio'] as const).filter((part) => part in row).map((part) =>
      unaryKernel(name as UnaryName, part)
    )
  )
  return [
    ...unaries,
    ...Object.values(binaryTable).flatMap((row) => Object.values(row)),
    whereKernel,
    whereTrue,
    whereFalse,
    spread,
    guarded,
  ]
}

/** Vectors of four that an invocation computes: the embedded device may do two at once. */
const unaryVariants = variants<null, Variant<null> & { PAIRS: number }>('elementwise', [
  { name: 'two vectors', numeric: 'exact-order', adapters: ['embedded'], PAIRS: 1 },
  { name: 'one vector', numeric: 'exact-order', PAIRS: 0 },
])

/** Launches one column of the table: all but `f` multiply by `cotangent`. */
function launchUnary(made: Kernel, x: Tensor, cotangent: Tensor | null, [a, b]: readonly number[]): Tensor {
  const out = empty(x.shape)
  const { PAIRS } = choose(unaryVariants, null)
  launch(
    made,
    cotangent ? { x, y: cotangent, out } : { x, out },
    { size: x.size, a, b },
    grid(Math.ceil(x.size / (PAIRS ? 512 : 256))),
    { overrides: { PAIRS } },
  )
  return out
}

function unary<A extends object = object>(
  name: UnaryName,
  constants: (attrs: A) => readonly number[] = () => [0, 0],
  rest: Pick<OpSpec<[Tensor], A>, 'constant' | 'attrs'> = {},
): OpFunction<[Tensor], A> {
  const row: UnaryRow = unaryTable[name]
  return op<[Tensor], A>({
    name,
    roles: row.linear ? [] : ['activation'],
    axes: '... -> ...',
    zero(attrs) {
      const [a, b] = constants(attrs)
      return [typeof row.zero === 'function' ? row.zero(a, b) ? 'keeps' : 'breaks' : row.zero ?? 'keeps']
    },
    run: (x, attrs) => launchUnary(unaryKernel(name, 'f'), x, null, checked(name, constants(attrs))),
    vjp: ({ args: [x], attrs }, dy) => [launchUnary(unaryKernel(name, 'derivative'), x, dy, constants(attrs))],
    ...(row.ratio && { ratio: (x, c, attrs) => launchUnary(unaryKernel(name, 'ratio'), x, c, constants(attrs)) }),
    onnx({ args: [{ name: x }], attrs }, graph) {
      const { onnx } = row, [a, b] = constants(attrs)
      return typeof onnx === 'string' ? graph.node(onnx, [x]) : onnx(x, graph, a, b)
    },
    ...rest,
    flops: ([x]) => x.size,
  })
}

function checked(name: string, constants: readonly number[]): readonly number[] {
  if (constants.some((constant) => typeof constant !== 'number')) {
    throw new ShapeError(`${name}: expected numbers as attributes, got ${constants.map(String).join(', ')}`)
  }
  return constants
}

/** max(x, 0), of any shape; its derivative at 0 is 0. */
export const relu = unary('relu')
/**
 * x Φ(x) with the exact normal distribution function (Hendrycks and Gimpel 2016), of any shape; tails to 1e-6 of
 * themselves.
 */
export const gelu = unary('gelu')
/** The tanh approximation of gelu, of any shape. */
export const geluTanh = unary('gelu-tanh')
/** x sigmoid(x), of any shape. */
export const silu = unary('silu')
/** 1 / (1 + e^-x), of any shape. */
export const sigmoid = unary('sigmoid')
/** tanh x, of any shape; does not overflow. */
export const tanh = unary('tanh')
/** e^x, of any shape. */
export const exp = unary('exp')
/** Natural logarithm, of any shape; NaN below 0. */
export const log = unary('log')
/** Square root, of any shape; NaN below 0, and an infinite gradient at 0. */
export const sqrt = unary('sqrt')
/** 1 / sqrt x, of any shape. */
export const rsqrt = unary('rsqrt')
/** The error function, of any shape. */
export const erf = unary('erf')
/** log(1 + e^x), of any shape; does not overflow. */
export const softplus = unary('softplus')
/** x relu6(x + 3) / 6, of any shape. */
export const hardswish = unary('hardswish')
/** min(max(x, 0), 6), of any shape. */
export const relu6 = unary('relu6')
/** |x|, of any shape; its derivative at 0 is 0. */
export const abs = unary('abs')
/** -x, of any shape. */
export const neg = unary('neg')
/** 1 / x, of any shape. */
export const reciprocal = unary('reciprocal')
/** x², of any shape. */
export const square = unary('square')
/** sin x, of any shape. */
export const sin = unary('sin')
/** cos x, of any shape. */
export const cos = unary('cos')
/** x where x > 0, slope x elsewhere; of any shape. */
export const leakyRelu = unary<{ slope: number }>('leaky-relu', ({ slope }) => [slope, 0], { attrs: { slope: true } })
/**
 * x to a constant exponent, of any shape. Whole exponents up to 16 are exact products; other exponents of x < 0 give
 * NaN.
 */
export const pow = unary<{ exponent: number }>('pow', ({ exponent }) => [exponent, 0], { attrs: { exponent: true } })
/** min(max(x, low), high), of any shape; passes the gradient inside and at the bounds. */
export const clamp = unary<{ low: number, high: number }>('clamp', ({ low, high }) => [low, high], {
  attrs: { low: true, high: true },
})
/** x times a constant, of any shape. */
export const scale = unary<{ by: number }>('scale', ({ by }) => [by, 0], { attrs: { by: true } })
/** x plus a constant, of any shape. */
export const offset = unary<{ by: number }>('offset', ({ by }) => [by, 0], {
  attrs: { by: true },
  constant: (_, { by }) => full([], by),
})

// ---- two arguments ----------------------------------------------------------------------------------------------

function spliced(entry: 'unary' | 'binary' | 'ternary', expression: string, label: string): Kernel {
  const buffers = { unary: ['x', 'out'], binary: ['x', 'y', 'out'], ternary: ['x', 'y', 'z', 'out'] }[entry]
  const strides = ['x', 'y', 'z'].flatMap((name) => [0, 1, 2, 3, 4, 5].map((axis) => `${name}${axis}`))
  return kernel('shared/broadcast.wgsl', {
    entry,
    buffers,
    params: ['size', 'inner', 'n1', 'n2', 'n3', 'n4', ...strides, 'a'],
    splice: { '/*expression*/': expression },
    label,
  })
}

// dx and dy are the cotangents, z times the partial derivative; '' passes z itself on, null is no gradient.
const rows = {
  add: ['x + y', '', ''],
  sub: ['x - y', '', '-z'],
  mul: ['x * y', 'z * y', 'z * x'],
  div: ['x / y', 'z / y', '-z * x / (y * y)'],
  // equal arguments share the gradient
  maximum: [
    'max(x, y)',
    `z * select(select(${zero}, vec4f(0.5), x == y), ${one}, x > y)`,
    `z * select(select(${zero}, vec4f(0.5), x == y), ${one}, y > x)`,
  ],
  minimum: [
    'min(x, y)',
    `z * select(select(${zero}, vec4f(0.5), x == y), ${one}, x < y)`,
    `z * select(select(${zero}, vec4f(0.5), x == y), ${one}, y < x)`,
  ],
  power: ['pow(x, y)', 'z * y * pow(x, y - 1.0)', 'z * pow(x, y) * log(x)'],
  greater: [`select(${zero}, ${one}, x > y)`, null, null],
  less: [`select(${zero}, ${one}, x < y)`, null, null],
  equal: [`select(${zero}, ${one}, x == y)`, null, null],
} satisfies Record<string, readonly [f: string, dx: string | null, dy: string | null]>

type BinaryName = keyof typeof rows

const binaryTable = Object.fromEntries(
  Object.entries(rows).map(([name, [f, dx, dy]]) => [name, {
    f: spliced('binary', f, name),
    ...(dx && { dx: spliced('ternary', dx, `${name} dx`) }),
    ...(dy && { dy: spliced('ternary', dy, `${name} dy`) }),
  }]),
) as Record<BinaryName, { f: Kernel, dx?: Kernel, dy?: Kernel }>

const operands = (shape: readonly number[], ...tensors: Tensor[]) =>
  tensors.map((tensor) => ({ tensor, strides: broadcastStrides(tensor.shape, shape) }))

/** The value of a binary op of the table, not recorded: for use inside an op's run. */
export function combine(name: BinaryName, x: Tensor, y: Tensor): Tensor {
  const shape = broadcastShape(name, x.shape, y.shape)
  return launchBroadcast(name, binaryTable[name].f, shape, operands(shape, x, y))
}

/** The product of two operands read by strides over `shape`, not recorded. */
export function multiplied(shape: readonly number[], both: readonly Operand[]): Tensor {
  return launchBroadcast('mul', binaryTable.mul.f, shape, both)
}

/** The nodes of the binary ops; comparisons give truth values, which become numbers. */
const onnxTypes: Readonly<Record<BinaryName, string>> = {
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  maximum: 'Max',
  minimum: 'Min',
  power: 'Pow',
  greater: 'Greater',
  less: 'Less',
  equal: 'Equal',
}
const FLOAT = 1, BOOL = 9

function binary(
  name: BinaryName,
  { roles = [], zero: zeros = 'all' }: { roles?: readonly Role[], zero?: ZeroRule } = {},
): OpFunction<[Tensor, Tensor], object> {
  const { dx, dy } = binaryTable[name], [, left, right] = rows[name]
  return op<[Tensor, Tensor], object>({
    name,
    roles,
    axes: '..., ... -> ...',
    zero: zeros,
    run: (x, y) => combine(name, x, y),
    vjp({ args: [x, y], needs }, dz) {
      const partial = (made: Kernel | undefined, expression: string | null, target: Tensor) => {
        if (expression === null) return null
        return unbroadcast(
          made ? launchBroadcast(name, made, dz.shape, operands(dz.shape, x, y, dz)) : dz,
          target.shape,
        )
      }
      return [needs[0] ? partial(dx, left, x) : null, needs[1] ? partial(dy, right, y) : null]
    },
    onnx({ args }, graph) {
      const value = graph.node(onnxTypes[name], args)
      return dx || dy ? value : graph.node('Cast', [value], { to: FLOAT })
    },
    flops: (_, out) => out.size,
  })
}

/** x + y; the shapes broadcast as in NumPy. @throws ShapeError if they do not (so for all ops of two arguments). */
export const add = binary('add', { roles: ['sum'] })
/** x - y; the shapes broadcast. */
export const sub = binary('sub', { roles: ['sum'] })
/** x y; the shapes broadcast. */
export const mul = binary('mul', { roles: ['product'], zero: 'any' })
/** x / y; the shapes broadcast. */
export const div = binary('div', { roles: ['quotient'], zero: ['keeps', 'breaks'] })
/** The larger of x and y; the shapes broadcast, equal elements share the gradient. */
export const maximum = binary('maximum')
/** The smaller of x and y; the shapes broadcast, equal elements share the gradient. */
export const minimum = binary('minimum')
/** x to the power y for x > 0; the shapes broadcast. For a constant exponent `pow` is exact and takes any x. */
export const power = binary('power', { zero: ['breaks', 'breaks'] })
/** 1 where x > y, else 0; the shapes broadcast. No gradient. */
export const greater = binary('greater')
/** 1 where x < y, else 0; the shapes broadcast. No gradient. */
export const less = binary('less')
/** 1 where x = y, else 0; the shapes broadcast. No gradient. */
export const equal = binary('equal')

// ---- three arguments --------------------------------------------------------------------------------------------

const whereKernel = spliced('ternary', `select(z, y, x != ${zero})`, 'where')
const whereTrue = spliced('binary', `select(${zero}, y, x != ${zero})`, 'where dx')
const whereFalse = spliced('binary', `select(y, ${zero}, x != ${zero})`, 'where dy')

/** x where the condition (f32) is not 0, else y; the three shapes broadcast. No gradient to the condition. */
export const where = op<[Tensor, Tensor, Tensor], object>({
  name: 'where',
  axes: '..., ..., ... -> ...',
  zero: 'all',
  run(condition, x, y) {
    const shape = broadcastShape('where', condition.shape, x.shape, y.shape)
    return launchBroadcast('where', whereKernel, shape, operands(shape, condition, x, y))
  },
  vjp({ args: [condition, x, y], needs }, dz) {
    const part = (made: Kernel, target: Tensor) =>
      unbroadcast(launchBroadcast('where', made, dz.shape, operands(dz.shape, condition, dz)), target.shape)
    return [null, needs[1] ? part(whereTrue, x) : null, needs[2] ? part(whereFalse, y) : null]
  },
  onnx: ({ args: [condition, x, y] }, graph) =>
    graph.node('Where', [graph.node('Cast', [condition], { to: BOOL }), x, y]),
})

const spread = spliced('unary', 'a * x', 'spread')

/** x times a constant, repeated to `shape`: how gradients of sums and means go back. Not recorded. */
export function expanded(x: Tensor, shape: readonly number[], by = 1): Tensor {
  return launchBroadcast('expand', spread, shape, operands(shape, x), by)
}

const guarded = spliced('binary', `select(x / y, ${zero}, y == ${zero})`, 'over or zero')

/** x / y, and 0 where y is 0; the shapes broadcast. Not recorded. */
export function overOrZero(x: Tensor, y: Tensor): Tensor {
  const shape = broadcastShape('div', x.shape, y.shape)
  return launchBroadcast('div', guarded, shape, operands(shape, x, y))
}

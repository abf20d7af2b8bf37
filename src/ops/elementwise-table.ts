// The elementwise ops of one argument, a line each: the function, its derivative, f(x) / x where that has a closed
// form, and the same in ONNX nodes. Expressions are WGSL on vec4f.
import type { OnnxGraph } from '../core/onnx-form.ts'

/** One op of one argument. */
export interface UnaryRow {
  f: string
  derivative: string
  ratio?: string
  /** Whether it is linear in x, but for a constant: then it is no activation. */
  linear?: true
  /** The same in ONNX nodes: the name of one, or what makes several. */
  onnx: string | ((x: string, graph: OnnxGraph, a: number, b: number) => string)
  /** 'breaks' where f(0) is not 0; where that depends on the constants, whether it is. */
  zero?: 'breaks' | ((a: number, b: number) => boolean)
}

/** WGSL of two vectors. */
export const zero = 'vec4f(0.0)', one = 'vec4f(1.0)'

const times = (graph: OnnxGraph, x: string, by: number) => graph.node('Mul', [x, graph.floats(by)])

/** x Phi(x) by the error function, as PyTorch exports it. */
function onnxGelu(x: string, graph: OnnxGraph): string {
  const erf = graph.node('Erf', [graph.node('Div', [x, graph.floats(Math.SQRT2)])])
  return times(graph, graph.node('Mul', [x, graph.node('Add', [erf, graph.floats(1)])]), 0.5)
}

/** x logistic(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3). */
function onnxGeluTanh(x: string, graph: OnnxGraph): string {
  const cube = times(graph, graph.node('Mul', [x, graph.node('Mul', [x, x])]), 0.044715)
  const inner = times(graph, graph.node('Add', [x, cube]), 2 * Math.sqrt(2 / Math.PI))
  return graph.node('Mul', [x, graph.node('Sigmoid', [inner])])
}

const onnxClip = (x: string, graph: OnnxGraph, low: number, high: number) =>
  graph.node('Clip', [x, graph.floats(low), graph.floats(high)])

/** The ops by name. */
export const unaryTable = {
  relu: {
    f: `select(x, ${zero}, x < ${zero})`,
    derivative: `select(${zero}, ${one}, x > ${zero})`,
    ratio: `select(${zero}, ${one}, x > ${zero})`,
    onnx: 'Relu',
  },
  gelu: { f: 'x * normal_cdf(x)', derivative: 'gelu_slope(x)', ratio: 'normal_cdf(x)', onnx: onnxGelu },
  'gelu-tanh': {
    f: 'x * logistic(2.0 * gelu_inner(x))', // (1 + tanh u) / 2 = logistic(2 u), which keeps the lower tail
    derivative:
      'logistic(2.0 * gelu_inner(x)) * (1.0 + 2.0 * x * gelu_inner_slope(x) * logistic(-2.0 * gelu_inner(x)))',
    ratio: 'logistic(2.0 * gelu_inner(x))',
    onnx: onnxGeluTanh,
  },
  silu: {
    f: 'x * logistic(x)',
    derivative: 'logistic(x) * (1.0 + x * logistic(-x))',
    ratio: 'logistic(x)',
    onnx: (x, graph) => graph.node('Mul', [x, graph.node('Sigmoid', [x])]),
  },
  sigmoid: { f: 'logistic(x)', derivative: 'logistic(x) * logistic(-x)', zero: 'breaks', onnx: 'Sigmoid' },
  tanh: { f: 'hyperbolic_tangent(x)', derivative: '4.0 * logistic(2.0 * x) * logistic(-2.0 * x)', onnx: 'Tanh' },
  exp: { f: 'exp(x)', derivative: 'exp(x)', zero: 'breaks', onnx: 'Exp' },
  log: { f: 'log(x)', derivative: '1.0 / x', zero: 'breaks', onnx: 'Log' },
  sqrt: { f: 'sqrt(x)', derivative: '0.5 * inverseSqrt(x)', ratio: 'inverseSqrt(x)', onnx: 'Sqrt' },
  rsqrt: {
    f: 'inverseSqrt(x)',
    derivative: '-0.5 * inverseSqrt(x) / x',
    zero: 'breaks',
    onnx: (x, graph) => graph.node('Reciprocal', [graph.node('Sqrt', [x])]),
  },
  erf: { f: 'error_function(x)', derivative: '1.12837917 * decay(x * x)', onnx: 'Erf' },
  softplus: { f: 'soft_plus(x)', derivative: 'logistic(x)', zero: 'breaks', onnx: 'Softplus' },
  hardswish: {
    f: `x * clamp(x + 3.0, ${zero}, vec4f(6.0)) / 6.0`,
    derivative: `select(select((2.0 * x + 3.0) / 6.0, ${one}, x >= vec4f(3.0)), ${zero}, x <= vec4f(-3.0))`,
    ratio: `clamp(x + 3.0, ${zero}, vec4f(6.0)) / 6.0`,
    onnx: 'HardSwish',
  },
  relu6: {
    f: `clamp(x, ${zero}, vec4f(6.0))`,
    derivative: `select(${zero}, ${one}, (x > ${zero}) & (x < vec4f(6.0)))`,
    ratio: `select(${zero}, 6.0 / max(x, vec4f(6.0)), x > ${zero})`,
    onnx: (x, graph) => onnxClip(x, graph, 0, 6),
  },
  abs: { f: 'abs(x)', derivative: 'sign(x)', ratio: 'sign(x)', onnx: 'Abs' },
  neg: { f: '-x', derivative: 'vec4f(-1.0)', ratio: 'vec4f(-1.0)', linear: true, onnx: 'Neg' },
  reciprocal: { f: '1.0 / x', derivative: '-1.0 / (x * x)', zero: 'breaks', onnx: 'Reciprocal' },
  square: { f: 'x * x', derivative: '2.0 * x', ratio: 'x', onnx: (x, graph) => graph.node('Mul', [x, x]) },
  sin: { f: 'sin(x)', derivative: 'cos(x)', onnx: 'Sin' },
  cos: { f: 'cos(x)', derivative: '-sin(x)', zero: 'breaks', onnx: 'Cos' },
  'leaky-relu': {
    f: `select(a * x, x, x > ${zero})`,
    derivative: `select(vec4f(a), ${one}, x > ${zero})`,
    ratio: `select(vec4f(a), ${one}, x > ${zero})`,
    onnx: (x, graph, slope) => graph.node('LeakyRelu', [x], { alpha: { float: slope } }),
  },
  pow: {
    f: 'raised(x, a)',
    derivative: 'a * raised(x, a - 1.0)',
    ratio: 'raised(x, a - 1.0)',
    zero: (exponent: number) => exponent > 0,
    onnx: (x, graph, exponent) => graph.node('Pow', [x, graph.floats(exponent)]),
  },
  clamp: {
    f: 'clamp(x, vec4f(a), vec4f(b))',
    derivative: `select(${zero}, ${one}, (x >= vec4f(a)) & (x <= vec4f(b)))`,
    zero: (low: number, high: number) => low <= 0 && high >= 0,
    onnx: onnxClip,
  },
  scale: {
    f: 'a * x',
    derivative: 'vec4f(a)',
    ratio: 'vec4f(a)',
    linear: true,
    onnx: (x, graph, by) => times(graph, x, by),
  },
  offset: {
    f: 'x + a',
    derivative: one,
    zero: (by: number) => by === 0,
    linear: true,
    onnx: (x, graph, by) => graph.node('Add', [x, graph.floats(by)]),
  },
} satisfies Record<string, UnaryRow>

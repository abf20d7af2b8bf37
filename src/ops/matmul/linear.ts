// Linear maps: y = x W^T + b over one or more axes, and the fused forms of inference.
import { sizeOf } from '../../base/shape.ts'
import { linksOf } from '../../core/axes.ts'
import { ShapeError } from '../../base/errors.ts'
import { named } from '../../core/launch.ts'
import { activeTape, pullback, record } from '../../core/tape.ts'
import { empty, isTracing, Tensor } from '../../core/tensor.ts'
import { add, gelu, mul } from '../elementwise.ts'
import { op, recordCall, type TypedCall } from '../../core/op.ts'
import type { Epilogue } from './kernels.ts'
import { type LinearOptions, linearSizes, maskedAxes, notation, onnxLinear } from './linear-sizes.ts'
import { product, products } from './product.ts'
import { weightProduct } from './weights.ts'
import { sumMiddle } from '../shared/split-sum.ts'

export type { LinearOptions } from './linear-sizes.ts'

/**
 * y[..., o] = sum over c of x[..., c] weight[o, c] + bias[o], where c are the last `over` axes of x and of weight and o
 * the leading axes of weight: x [B, T, C] with weight [H, D, C] gives [B, T, H, D]; x [B, T, H, D] with weight [C, H,
 * D] and over 2 gives [B, T, C]. The bias has the leading axes of the weight, or is null.
 * @throws ShapeError if the contracted axes differ or the bias does not fit.
 */
export const linear = op({
  name: 'linear',
  attrs: { over: true },
  roles: ['dense'],
  weight: 1,
  bias: 2,
  axes: (shapes, out, { over = 1 }: LinearOptions) => linksOf(notation(shapes[1]!.length, over), shapes, out, {}),
  zero: ['breaks', 'breaks', 'breaks'], // a zeroed row comes out as the bias
  run(x: Tensor, weight: Tensor, bias: Tensor | null, { over = 1 }: LinearOptions) {
    const { rows, inputs, outputs, shape } = linearSizes('linear', x, weight, bias, over)
    const y = empty(shape)
    weightProduct(x, weight, y, { M: rows, N: outputs, K: inputs }, { bias })
    return y
  },
  vjp({ args: [x, weight, bias], attrs: { over = 1 }, needs }, dy) {
    const { rows, inputs, outputs } = linearSizes('linear', x, weight, bias, over)
    let dx: Tensor | null = null, dweight: Tensor | null = null, dbias: Tensor | null = null
    if (needs[0]) product(dy, weight, dx = empty(x.shape), { M: rows, N: inputs, K: outputs })
    if (needs[1]) product(dy, x, dweight = empty(weight.shape), { M: outputs, N: inputs, K: rows, transposeA: true })
    if (needs[2]) dbias = sumMiddle(dy, { count: rows, N: outputs }, bias!.shape)
    return [dx, dweight, dbias]
  },
  onnx: ({ args: [x, weight, bias], attrs: { over = 1 }, out }, graph) => onnxLinear(graph, x, weight, bias, over, out),
  macs: ([, weight], out, { over = 1 }) => out.size * sizeOf(weight.shape.slice(-over)),
})

/**
 * linear(x, weight * mask, bias): the mask has the weight's shape and a gradient of its own.
 * @throws ShapeError as `linear` does, or if the mask has not the shape of the weight.
 */
export const maskedLinear = op({
  name: 'masked-linear',
  attrs: { over: true },
  roles: ['dense'],
  weight: 1,
  bias: 3,
  axes: maskedAxes,
  zero: ['breaks', 'breaks', 'breaks', 'breaks'],
  run(x: Tensor, weight: Tensor, mask: Tensor, bias: Tensor | null, { over = 1 }: LinearOptions) {
    const { rows, inputs, outputs, shape } = linearSizes('masked-linear', x, weight, bias, over)
    if (mask.shape.join() !== weight.shape.join()) {
      throw new ShapeError(`masked-linear: mask [${mask.shape}] must have the shape of the weight [${weight.shape}]`)
    }
    const y = empty(shape)
    product(x, weight, y, { M: rows, N: outputs, K: inputs, transposeB: true }, { bias }, mask)
    return y
  },
  vjp({ args: [x, weight, mask, bias], attrs: { over = 1 }, needs }, dy) {
    const { rows, inputs, outputs } = linearSizes('masked-linear', x, weight, bias, over)
    let dx: Tensor | null = null, dproduct: Tensor | null = null
    if (needs[0]) product(dy, weight, dx = empty(x.shape), { M: rows, N: inputs, K: outputs }, {}, mask)
    if (needs[1] || needs[2]) {
      product(dy, x, dproduct = empty(weight.shape), { M: outputs, N: inputs, K: rows, transposeA: true })
    }
    return [
      dx,
      needs[1] ? mul(dproduct!, mask) : null,
      needs[2] ? mul(dproduct!, weight) : null,
      needs[3] ? sumMiddle(dy, { count: rows, N: outputs }, bias!.shape) : null,
    ]
  },
  onnx({ args: [x, weight, mask, bias], attrs: { over = 1 }, out }, graph) {
    const masked = { ...weight, name: graph.node('Mul', [weight, mask]) }
    return onnxLinear(graph, x, masked, bias, over, out)
  },
  macs: ([, weight], out, { over = 1 }) => out.size * sizeOf(weight.shape.slice(-over)),
})

/**
 * Several linear maps of one input, e.g. query, key and value: `weights[i]` and `biases[i]` as in `linear`. Two or
 * three weights of one shape take one launch on GPUs, and up to 8 rows on the embedded device. A tape records plain
 * `linear` calls.
 * @throws ShapeError as `linear` does, or if the lists differ in length.
 */
export function linears(
  x: Tensor,
  weights: readonly Tensor[],
  biases: readonly (Tensor | null)[],
  options: LinearOptions = {},
): Tensor[] {
  if (weights.length !== biases.length) {
    throw new ShapeError(
      `linears: ${weights.length} weights and ${biases.length} biases; expected one bias (or null) per weight`,
    )
  }
  return together(x, weights, biases, options) ?? weights.map((weight, i) => linear(x, weight, biases[i], options))
}

/**
 * All outputs from one launch, or null where that is not possible (or something does not fit: then `linear` says what).
 */
function together(
  x: Tensor,
  weights: readonly Tensor[],
  biases: readonly (Tensor | null)[],
  options: LinearOptions,
): Tensor[] | null {
  const inputs = [x, ...weights, ...biases.filter((bias) => bias !== null)]
  if (isTracing() || inputs.some((input) => !(input instanceof Tensor) || input.dtype !== 'f32' || input.disposed)) {
    return null
  }
  if (weights.some((weight) => weight.shape.join() !== weights[0].shape.join())) return null
  const [{ rows, inputs: K, outputs, shape }] = weights.map((weight, i) =>
    linearSizes('linear', x, weight, biases[i], options.over ?? 1)
  )
  const outs = weights.map(() => empty(shape))
  if (!named('linears', () => products(x, weights, outs, { M: rows, N: outputs, K }, biases))) {
    for (const out of outs) out.dispose()
    return null
  }
  outs.forEach((out, i) => {
    recordCall(linear.op, [x, weights[i], biases[i]], options, out)
  })
  return outs
}

/** gelu(linear(x, weight, bias)), in one launch where no tape records; a tape records the two plain ops. */
export function linearGelu(x: Tensor, weight: Tensor, bias: Tensor | null, options: LinearOptions = {}): Tensor {
  return activeTape() ? gelu(linear(x, weight, bias, options)) : fusedGelu(x, weight, bias, options)
}

/**
 * linear(x, weight, bias) + residual, in one launch where no tape records; a tape records the two plain ops.
 * @throws ShapeError if the residual has not the shape of the output.
 */
export function linearAdd(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  residual: Tensor,
  options: LinearOptions = {},
): Tensor {
  return activeTape() ? add(linear(x, weight, bias, options), residual) : fusedAdd(x, weight, bias, residual, options)
}

const fusedGelu = op({
  name: 'linear+gelu',
  attrs: { over: true },
  axes: linear.op.axes,
  zero: ['breaks', 'breaks', 'breaks'],
  run: (x: Tensor, weight: Tensor, bias: Tensor | null, { over = 1 }: LinearOptions) =>
    fused('linear+gelu', x, weight, over, { bias, gelu: true }),
  vjp: (call, dy) => opened(call, dy, (x, weight, bias) => gelu(linear(x!, weight!, bias, call.attrs))),
})

const fusedAdd = op({
  name: 'linear+add',
  attrs: { over: true },
  axes: (shapes, out, attrs) => {
    const { links } = linksOf(linear.op.axes, shapes.slice(0, 3), out, attrs)
    const whole = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
    return { links: [...links, ...out.map((size, axis) => ({ size, a: whole(3, axis), b: whole(-1, axis) }))] }
  },
  zero: ['breaks', 'breaks', 'breaks', 'breaks'],
  run(x: Tensor, weight: Tensor, bias: Tensor | null, residual: Tensor, { over = 1 }: LinearOptions) {
    const { shape } = linearSizes('linear+add', x, weight, bias, over)
    if (residual.shape.join() !== shape.join()) {
      throw new ShapeError(`linear+add: residual [${residual.shape}] must have the shape of the output [${shape}]`)
    }
    return fused('linear+add', x, weight, over, { bias, residual })
  },
  vjp: (call, dy) =>
    opened(call, dy, (x, weight, bias, residual) => add(linear(x!, weight!, bias, call.attrs), residual!)),
})

function fused(name: string, x: Tensor, weight: Tensor, over: number, epilogue: Epilogue): Tensor {
  const { rows, inputs, outputs, shape } = linearSizes(name, x, weight, epilogue.bias ?? null, over)
  const y = empty(shape)
  weightProduct(x, weight, y, { M: rows, N: outputs, K: inputs }, epilogue)
  return y
}

/** The gradient of a fused op is that of the plain ops it stands for. */
export function opened(
  { args }: TypedCall<readonly (Tensor | null)[], object>,
  dy: Tensor,
  plain: (...args: (Tensor | null)[]) => Tensor,
): (Tensor | null)[] {
  const own = args.map((arg) => arg && arg.view(arg.shape)) // one tensor may be two arguments
  const leaves = own.filter((arg) => arg !== null)
  const { result, calls } = record(() => plain(...own), leaves)
  const found = pullback(calls, [[result, dy]], { wanted: leaves })
  return own.map((arg) => arg && (found.get(arg) ?? null))
}

// Linear maps whose weight is packed: y = x W^T + b, seen by rules, counts and units as the dense layer that it is.
import { sizeOf } from '../base/shape.ts'
import { ShapeError } from '../base/errors.ts'
import type { Mapping } from '../core/axes.ts'
import { op, type TypedCall } from '../core/op.ts'
import { activeTape, pullback, record } from '../core/tape.ts'
import { empty, type Tensor } from '../core/tensor.ts'
import { add, gelu } from '../ops/elementwise.ts'
import type { Epilogue } from '../ops/matmul/kernels.ts'
import { sumMiddle } from '../ops/shared/split-sum.ts'
import { packedArgs, type PackedArgs, packedTensors, type Packing } from './packing.ts'
import { sparseBack, sparseProduct, sparseValues } from './product.ts'
import type { SparseWeight } from './weight.ts'

/** The packing of the weight; its tensors are arguments. */
export interface SparseAttributes {
  packing: Packing
}

type Call = TypedCall<PackedArgs, SparseAttributes>

/** Rows of x and the shape of the output. @throws ShapeError if something does not fit. */
function sizes(name: string, [x, values, bias]: PackedArgs, { inputs, outputs, tile, slots }: Packing) {
  const own = x.shape.slice(-inputs.length), leading = x.shape.slice(0, -inputs.length)
  if (own.join() !== inputs.join()) {
    throw new ShapeError(
      `${name}: x [${x.shape}] does not contract with a weight [${[...outputs, ...inputs]}] over ${inputs.length} ${
        inputs.length === 1 ? 'axis' : 'axes'
      }; expected x to end in [${inputs}], got [${own}]`,
    )
  }
  if (bias && bias.shape.join() !== outputs.join()) {
    throw new ShapeError(
      `${name}: bias [${bias.shape}] does not fit weight [${[...outputs, ...inputs]}]; expected [${outputs}]`,
    )
  }
  const expected = Math.max(1, slots) * tile[0] * tile[1]
  if (values.size !== expected) {
    throw new ShapeError(`${name}: ${values.size} values for ${slots} tiles of ${tile.join('x')}; expected ${expected}`)
  }
  return { M: sizeOf(leading), shape: [...leading, ...outputs] }
}

/** Leading axes pass, the bias has the axes of the outputs; axes that lie in tiles cannot be cut. */
function axes(shapes: readonly (readonly number[] | null)[], out: readonly number[], attrs: object): Mapping {
  const { packing: { outputs, inputs } } = attrs as SparseAttributes
  const x = shapes[0]!,
    leading = x.length - inputs.length,
    reason = 'the weight holds it in tiles of a sparsity pattern'
  const whole = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
  return {
    links: [
      ...x.slice(0, leading).map((size, axis) => ({ size, a: whole(0, axis), b: whole(-1, axis) })),
      ...shapes[2] ? outputs.map((size, i) => ({ size, a: whole(2, i), b: whole(-1, leading + i) })) : [],
    ],
    blocked: [
      ...inputs.map((_, i) => ({ tensor: 0, axis: leading + i, reason })),
      ...outputs.map((_, i) => ({ tensor: -1, axis: out.length - outputs.length + i, reason })),
    ],
  }
}

const run = (name: string, args: PackedArgs, packing: Packing, epilogue: Epilogue): Tensor => {
  const { M, shape } = sizes(name, args, packing), y = empty(shape)
  sparseProduct(args[0], packedTensors(args, packing), packing, y, M, { bias: args[2], ...epilogue })
  return y
}

const last = (all: readonly unknown[]) => (all.at(-1) as SparseAttributes).packing
const first = (all: readonly unknown[]) => all.slice(0, -1) as PackedArgs

const packedLinear = op<PackedArgs, SparseAttributes>({
  name: 'sparse-linear',
  attrs: { packing: true },
  roles: ['dense'],
  weight: 1,
  bias: 2,
  axes,
  dtypes: ['f32', 'f32', 'f32', 'index'],
  zero: ['breaks', 'breaks', 'breaks'],
  run: (...all) => run('sparse-linear', first(all), last(all), {}),
  vjp({ args, attrs: { packing }, needs }: Call, dy) {
    const [x, , bias] = args, { M } = sizes('sparse-linear', args, packing), tensors = packedTensors(args, packing)
    let dx: Tensor | null = null
    if (needs[0]) sparseBack(dy, tensors, packing, dx = empty(x.shape), M)
    return [
      dx,
      needs[1] ? sparseValues(dy, x, tensors, packing, M) : null,
      needs[2] ? sumMiddle(dy, { count: M, N: packing.shape[0] }, bias!.shape) : null,
    ]
  },
  macs: ([x], _, { packing: { shape, inputs } }) => x.size / sizeOf(inputs) * shape[0] * shape[1],
  flops: ([x], _, { packing: { tile, slots, inputs } }) => 2 * x.size / sizeOf(inputs) * slots * tile[0] * tile[1],
})

const fusedGelu = op<PackedArgs, SparseAttributes>({
  name: 'sparse-linear+gelu',
  attrs: { packing: true },
  axes,
  dtypes: ['f32', 'f32', 'f32', 'index'],
  zero: ['breaks', 'breaks', 'breaks'],
  run: (...all) => run('sparse-linear+gelu', first(all), last(all), { gelu: true }),
  vjp: (call, dy) => opened(call, dy, (args) => gelu(packedLinear(...args, call.attrs))),
})

type AddedArgs = [residual: Tensor, ...PackedArgs]

const fusedAdd = op<AddedArgs, SparseAttributes>({
  name: 'sparse-linear+add',
  attrs: { packing: true },
  axes(shapes, out, attrs) {
    const { links, blocked } = axes(shapes.slice(1), out, attrs)
    const moved = <T extends { tensor: number }>(at: T) => at.tensor < 0 ? at : { ...at, tensor: at.tensor + 1 }
    const whole = (tensor: number, axis: number) => ({ tensor, axis, offset: 0, stride: 1 })
    return {
      links: [
        ...links.map(({ size, a, b }) => ({ size, a: moved(a), b: moved(b) })),
        ...out.map((size, axis) => ({ size, a: whole(0, axis), b: whole(-1, axis) })),
      ],
      blocked: blocked?.map(moved),
    }
  },
  dtypes: ['f32', 'f32', 'f32', 'f32', 'index'],
  zero: ['breaks', 'breaks', 'breaks', 'breaks'],
  run(...all) {
    const [residual, ...args] = all.slice(0, -1) as AddedArgs, packing = last(all)
    const { shape } = sizes('sparse-linear+add', args, packing)
    if (residual.shape.join() !== shape.join()) {
      throw new ShapeError(
        `sparse-linear+add: residual [${residual.shape}] must have the shape of the output [${shape}]`,
      )
    }
    return run('sparse-linear+add', args, packing, { residual })
  },
  vjp: (call, dy) =>
    opened(call, dy, ([residual, ...args]: AddedArgs) => add(packedLinear(...args, call.attrs), residual)),
})

/** The gradient of a fused op is that of the plain ops it stands for. */
function opened<T extends readonly (Tensor | null)[]>(
  { args }: TypedCall<T, SparseAttributes>,
  dy: Tensor,
  plain: (args: T) => Tensor,
): (Tensor | null)[] {
  const own = args.map((arg) => arg && arg.view(arg.shape)) // one tensor may be two arguments
  const leaves = own.filter((arg) => arg !== null)
  const { result, calls } = record(() => plain(own as unknown as T), leaves)
  const found = pullback(calls, [[result, dy]], { wanted: leaves })
  return own.map((arg) => arg && (found.get(arg) ?? null))
}

/**
 * y[..., o] = sum over c of x[..., c] W[o, c] + bias[o] with a packed weight: what `linear` computes with the dense
 * one, by ascending c, kept tiles alone. Gradients go to x, to the kept values and to the bias.
 * @throws ShapeError if the contracted axes differ or the bias does not fit.
 */
export function sparseLinear(x: Tensor, weight: SparseWeight, bias: Tensor | null): Tensor {
  return packedLinear(...packedArgs(x, weight, bias), { packing: weight.packing })
}

/** gelu(sparseLinear(x, weight, bias)), in one launch where no tape records; a tape records the two plain ops. */
export function sparseLinearGelu(x: Tensor, weight: SparseWeight, bias: Tensor | null): Tensor {
  return activeTape()
    ? gelu(sparseLinear(x, weight, bias))
    : fusedGelu(...packedArgs(x, weight, bias), { packing: weight.packing })
}

/** sparseLinear(x, weight, bias) + residual, in one launch where no tape records. @throws ShapeError */
export function sparseLinearAdd(x: Tensor, weight: SparseWeight, bias: Tensor | null, residual: Tensor): Tensor {
  return activeTape()
    ? add(sparseLinear(x, weight, bias), residual)
    : fusedAdd(residual, ...packedArgs(x, weight, bias), { packing: weight.packing })
}

// Linear maps: y = x W^T + b over one or more axes, and the fused forms of inference.
import { linksOf } from '../axes.ts'
import { ShapeError } from '../errors.ts'
import { empty, type Tensor } from '../tensor.ts'
import { op } from './op.ts'
import { product, sumMiddle } from './product.ts'

/** How many trailing axes of x and of the weight are contracted; default 1. */
export interface LinearOptions { over?: number }

const sizeOf = (shape: readonly number[]) => shape.reduce((total, n) => total * n, 1)

/**
 * y[..., o] = sum over c of x[..., c] weight[o, c] + bias[o], where c are the last `over` axes of x and of weight and o the leading
 * axes of weight: x [B, T, C] with weight [H, D, C] gives [B, T, H, D]; x [B, T, H, D] with weight [C, H, D] and over 2 gives [B, T, C].
 * The bias has the leading axes of the weight, or is null.
 * @throws ShapeError if the contracted axes differ or the bias does not fit.
 */
export const linear = op({
  name: 'linear',
  axes: (shapes, out, { over = 1 }: LinearOptions) => linksOf(notation(shapes[1]!.length, over), shapes, out, {}),
  zero: ['breaks', 'breaks', 'breaks'],           // a zeroed row comes out as the bias
  run(x: Tensor, weight: Tensor, bias: Tensor | null, { over = 1 }: LinearOptions) {
    const { rows, inputs, outputs, shape } = sizes('linear', x, weight, bias, over)
    const y = empty(shape)
    product(x, weight, y, { M: rows, N: outputs, K: inputs, transposeB: true }, { bias })
    return y
  },
  vjp({ args: [x, weight, bias], attrs: { over = 1 }, needs }, dy) {
    const { rows, inputs, outputs } = sizes('linear', x, weight, bias, over)
    let dx: Tensor | null = null, dweight: Tensor | null = null, dbias: Tensor | null = null
    if (needs[0]) product(dy, weight, dx = empty(x.shape), { M: rows, N: inputs, K: outputs })
    if (needs[1]) product(dy, x, dweight = empty(weight.shape), { M: outputs, N: inputs, K: rows, transposeA: true })
    if (needs[2]) dbias = sumMiddle(dy, { count: rows, N: outputs }, bias!.shape)
    return [dx, dweight, dbias]
  },
  flops: ([, weight], out, { over = 1 }) => 2 * out.size * sizeOf(weight.shape.slice(-over)),
})

/** `'... i j, o p i j, o p -> ... o p'` for a weight of this rank. */
function notation(rank: number, over: number): string {
  const letters = 'abcdefghijklm'.slice(0, rank).split('')
  const o = letters.slice(0, rank - over).join(' '), c = letters.slice(rank - over).join(' ')
  return `... ${c}, ${o} ${c}, ${o} -> ... ${o}`
}

function sizes(name: string, x: Tensor, weight: Tensor, bias: Tensor | null, over: number) {
  if (!Number.isInteger(over) || over < 1 || over >= weight.shape.length || over > x.shape.length) {
    throw new ShapeError(`${name}: cannot contract ${over} axes of x [${x.shape}] and weight [${weight.shape}]; the weight needs output axes before the contracted ones`)
  }
  const left = x.shape.slice(-over), right = weight.shape.slice(-over), out = weight.shape.slice(0, -over)
  if (left.join() !== right.join()) {
    throw new ShapeError(`${name}: x [${x.shape}] does not contract with weight [${weight.shape}] over ${over} ${over === 1 ? 'axis' : 'axes'}; expected x to end in [${right}], got [${left}]`)
  }
  if (bias && bias.shape.join() !== out.join()) throw new ShapeError(`${name}: bias [${bias.shape}] does not fit weight [${weight.shape}]; expected [${out}]`)
  const leading = x.shape.slice(0, -over)
  return { rows: sizeOf(leading), inputs: sizeOf(right), outputs: sizeOf(out), shape: [...leading, ...out] }
}

// The same values in the same order under another shape. Nothing is copied.
import { sizeOf } from '../base/shape.ts'
import type { Link, Mapping } from '../core/axes.ts'
import { ShapeError } from '../base/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { op } from '../core/op.ts'

function resolved({ shape: from, size }: Tensor, shape: readonly number[]): number[] {
  const open = shape.filter((n) => n === -1).length
  const known = sizeOf(shape.filter((n) => n !== -1))
  const result = shape.map((n) => (n === -1 ? size / known : n))
  if (open > 1 || !result.every((n) => Number.isInteger(n) && n >= 1) || sizeOf(result) !== size) {
    throw new ShapeError(
      `reshape: [${from}] has ${size} elements and does not fill [${shape}]`
        + `; expected a shape of ${size} elements, with at most one -1`,
    )
  }
  return result
}

/**
 * Axes that keep their size and place are followed. Where several axes become one, or one becomes several, an index of
 * one side is a whole range of the other, so those axes are blocked.
 */
function axes([shape]: readonly (readonly number[] | null)[], out: readonly number[]): Mapping {
  const links: Link[] = [], blocked: NonNullable<Mapping['blocked']> = []
  const from = shape!.map((size, axis) => ({ size, axis })).filter(({ size }) => size > 1)
  const to = out.map((size, axis) => ({ size, axis })).filter(({ size }) => size > 1)
  while (from.length && to.length) {
    // The shortest runs of axes on both sides with the same number of elements.
    const left = [from.shift()!], right = [to.shift()!]
    const product = (run: { size: number }[]) => sizeOf(run.map(({ size }) => size))
    while (product(left) !== product(right)) {
      if (product(left) < product(right)) left.push(from.shift()!)
      else right.push(to.shift()!)
    }
    if (left.length === 1 && right.length === 1) {
      links.push({
        size: left[0].size,
        a: { tensor: 0, axis: left[0].axis, offset: 0, stride: 1 },
        b: { tensor: -1, axis: right[0].axis, offset: 0, stride: 1 },
      })
      continue
    }
    const reason = `reshape turns [${left.map(({ size }) => size)}] into [${
      right.map(({ size }) => size)
    }], so an index of one is no single index of the other`
    blocked.push(
      ...left.map(({ axis }) => ({ tensor: 0, axis, reason })),
      ...right.map(({ axis }) => ({ tensor: -1, axis, reason })),
    )
  }
  return { links, blocked }
}

/**
 * x under another shape of the same size; one entry may be -1, which stands for what is left. @throws ShapeError if the
 * size differs.
 */
export const reshape = op<[Tensor], { shape: readonly number[] }>({
  name: 'reshape',
  attrs: { shape: true },
  roles: ['movement', 'reshape'],
  axes,
  run: (x, { shape }) => x.view(resolved(x, shape)),
  vjp: ({ args: [x] }, dy) => [dy.view(x.shape)],
  onnx: ({ args: [x], out }, graph) => graph.reshape(x, out),
})

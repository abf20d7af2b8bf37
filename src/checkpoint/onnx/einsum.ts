// `Einsum` of two operands as a batched product of matrices: axes in both that stay are the batch, axes in both that go
// are summed over, and the rest are rows and columns.
import { InputError } from '../../base/errors.ts'
import { quoted } from '../../base/quote.ts'
import { sizeOf } from '../../base/shape.ts'
import { made, type Reading, reshapeTo } from './reading.ts'
import type { Made } from './translator.ts'

/** `Einsum`. */
export function einsum(reading: Reading): Made {
  const { t, attributes, args } = reading, text = typeof attributes.equation === 'string' ? attributes.equation : ''
  const [, left = '', right = '', out = ''] = /^([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)$/.exec(text.replaceAll(' ', ''))
    ?? []
  const both = [...left].filter((axis) => right.includes(axis)),
    isOnce = (axes: string) => new Set(axes).size === axes.length
  const batch = both.filter((axis) => out.includes(axis)), summed = both.filter((axis) => !out.includes(axis))
  const rows = [...left].filter((axis) => !right.includes(axis)),
    columns = [...right].filter((axis) => !left.includes(axis))
  const fits = args.length === 2 && [left, right, out].every(isOnce) && out !== ''
    && [...rows, ...columns].every((axis) => out.includes(axis))
    && [...out].length === batch.length + rows.length + columns.length
  if (!fits) {
    throw new InputError(
      `its equation is ${
        quoted(text, 60)
      }, expected two operands whose axes stay or are summed over, e.g. 'bid,bjd->bij'`,
    )
  }
  const sizes = [0, 1].map((i) => sizesOf(reading, i as 0 | 1, left, right))
  const a = ordered(reading, 0, left, [batch, rows, summed]), b = ordered(reading, 1, right, [batch, summed, columns])
  const y = t.step('matmul', [a, b])
  const axes = [...batch, ...rows, ...columns], shapes = sizes.map((of) => axes.map((axis) => of.get(axis)!))
  const whole = reshapeTo(t, y, [shapes[0], shapes[1]]), order = [...out].map((axis) => axes.indexOf(axis))
  return order.every((axis, i) => axis === i) ? whole : t.step('permute', [whole], { order })
}

/** How long each axis is, for either batch. @throws InputError where the operands differ. */
function sizesOf(reading: Reading, version: 0 | 1, ...operands: readonly string[]): Map<string, number> {
  const sizes = new Map<string, number>()
  operands.forEach((axes, at) => {
    const { shape } = made(reading, at).pair[version]
    if (shape.length !== axes.length) throw new InputError(`it names the axes ${axes} of [${shape}], expected as many`)
    shape.forEach((size, i) => {
      if ((sizes.get(axes[i]) ?? size) !== size) {
        throw new InputError(`its axis ${axes[i]} is ${sizes.get(axes[i])} and ${size}`)
      }
      sizes.set(axes[i], size)
    })
  })
  return sizes
}

/** An operand as [batch ..., all of the second group, all of the third]. */
function ordered(
  reading: Reading,
  at: number,
  axes: string,
  [batch, second, third]: readonly (readonly string[])[],
): Made {
  const { t } = reading,
    x = made(reading, at),
    order = [...batch, ...second, ...third].map((axis) => axes.indexOf(axis))
  const turned = order.every((axis, i) => axis === i) ? x : t.step('permute', [x], { order })
  if (second.length === 1 && third.length === 1) return turned
  const n = batch.length, m = n + second.length
  const shapes = turned.pair.map((
    { shape },
  ) => [...shape.slice(0, n), sizeOf(shape.slice(n, m)), sizeOf(shape.slice(m))])
  return reshapeTo(t, turned, [shapes[0], shapes[1]])
}

// Builtin functions of const-expressions on vectors and matrices.
import { scalarBinary } from './const-operators.ts'
import { elementScalar, vec } from './types.ts'
import type { Type } from './types.ts'
import { ConstError, makeScalar } from './values.ts'
import type { Value } from './values.ts'

const list = (v: Value) => v.parts!.map((p) => Number(p.scalar))
const product = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0)

/** Evaluates a builtin on vectors or matrices of constants; null if the name is another's. */
export function geometryValue(name: string, args: Value[], type: Type): Value | null {
  const of = elementScalar(type)!
  const vector = (numbers: number[]): Value => ({ type, parts: numbers.map((x) => makeScalar(of, x)) })
  switch (name) {
    case 'dot': {
      const products = args[0].parts!.map((p, i) => scalarBinary('*', p, args[1].parts![i]))
      return products.reduce((sum, p) => scalarBinary('+', sum, p))
    }
    case 'length':
      for (const x of args[0].parts ? list(args[0]) : []) makeScalar(of, x * x) // refused where WGSL's sum is
      return makeScalar(of, args[0].parts ? Math.hypot(...list(args[0])) : Math.abs(Number(args[0].scalar)))
    case 'distance':
      return makeScalar(
        of,
        args[0].parts
          ? Math.hypot(...list(args[0]).map((x, i) => x - list(args[1])[i]))
          : Math.abs((Number(args[0].scalar)) - (Number(args[1].scalar))),
      )
    case 'normalize': {
      const length = Math.hypot(...list(args[0]))
      if (length === 0) throw new ConstError('normalize of a zero vector has no value')
      return { type, parts: list(args[0]).map((x) => makeScalar(of, x / length)) }
    }
    case 'cross': {
      const [a, b] = args.map(list)
      return {
        type,
        parts: [0, 1, 2].map((i) => makeScalar(of, a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3])),
      }
    }
    case 'reflect': {
      const [x, normal] = args.map(list), along = product(normal, x)
      return vector(x.map((part, i) => part - 2 * along * normal[i]))
    }
    case 'refract': {
      const [x, normal] = args.slice(0, 2).map(list)
      const ratio = Number(args[2].scalar)
      const along = product(normal, x)
      const rest = 1 - ratio * ratio * (1 - along * along)
      return vector(x.map((part, i) => rest < 0 ? 0 : ratio * part - (ratio * along + Math.sqrt(rest)) * normal[i]))
    }
    case 'faceForward': {
      const [x, incident, normal] = args.map(list)
      return product(incident, normal) < 0 ? args[0] : vector(x.map((part) => -part))
    }
    case 'transpose':
      return type.kind === 'mat'
        ? {
          type,
          parts: Array.from({ length: type.columns }, (_, c) => ({
            type: vec(type.rows, type.of),
            parts: args[0].parts!.map((column) => column.parts![c]),
          })),
        }
        : null
    case 'determinant':
      return makeScalar(of, determinant(args[0].parts!.map(list)))
  }
  return null
}

/** By the first column. */
function determinant(columns: number[][]): number {
  if (columns.length === 1) return columns[0][0]
  const [first, ...rest] = columns
  return first.reduce(
    (sum, x, row) => sum + (row % 2 ? -x : x) * determinant(rest.map((column) => column.toSpliced(row, 1))),
    0,
  )
}

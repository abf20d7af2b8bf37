// What an operator of the file reads, and how it is asked for.
import { InputError } from '../../base/errors.ts'
import type { OnnxAttribute } from '../../core/onnx-form.ts'
import type { Constant } from './fold.ts'
import { isFixed, type Made, type Translator, type Value } from './translator.ts'

/** What an operator reads: values, null where one is left out; its names in the file. */
export interface Reading {
  t: Translator
  args: readonly (Value | null)[]
  names: readonly string[]
  attributes: Readonly<Record<string, OnnxAttribute>>
  opset: number
  outputs: number
}

/** Which steps compute an operator. */
export type Operator = (reading: Reading) => Value | Value[]

/** The shape of a value, for the smaller batch. */
export const shapeOf = (x: Made): readonly number[] => x.pair[0].shape
/** How many axes it has. */
export const rankOf = (x: Made): number => x.pair[0].shape.length

/** The argument as something computed; constants become tensors of the network. */
export function made({ t, args, names }: Reading, at: number): Made {
  const arg = args[at]
  if (!arg) throw new InputError(`its input ${at + 1} is missing`)
  return arg.kind === 'made' ? arg : t.parameter(arg, names[at])
}

/** The argument as a constant that is the same for every batch. */
export function known({ args }: Reading, at: number, what: string): Constant {
  const arg = args[at]
  if (arg?.kind === 'known' && isFixed(arg)) return arg.pair[0]
  if (arg?.kind === 'known') {
    throw new InputError(
      `${what} (input ${at + 1}) changes with the number of images, expected one constant; export it for one image`,
    )
  }
  throw new InputError(`${what} (input ${at + 1}) is computed from the images, expected a constant`)
}

/** The same of an input that may be left out. */
export const optional = (reading: Reading, at: number, what: string): Constant | undefined =>
  reading.args[at] ? known(reading, at, what) : undefined

/** The number that a constant is, null where it is none. */
export const scalarOf = (arg: Value | null | undefined): number | null =>
  arg?.kind === 'known' && isFixed(arg) && arg.pair[0].values.length === 1 && arg.pair[0].shape.length <= 1
    ? arg.pair[0].values[0]
    : null

/** Two operands, one of which may be a constant: then scalars become numbers of the step. */
export const binary = (
  kind: string,
  constant?: (t: Translator, x: Made, value: number, isRight: boolean) => Made | null,
) =>
(reading: Reading): Made => {
  const { t, args } = reading, scalars = args.map(scalarOf)
  for (const at of [1, 0]) {
    const value = scalars[at], x = args[1 - at]
    const done = value !== null && x?.kind === 'made' ? constant?.(t, x, value, at === 1) : null
    if (done) return done
  }
  return t.step(kind, [made(reading, 0), made(reading, 1)])
}

/** A reshape to what the graph says for either batch; axes that stay are named, since they may shrink. */
export function reshapeTo(t: Translator, x: Made, shapes: readonly [readonly number[], readonly number[]]): Made {
  const from = shapeOf(x), sizes = t.sizes(shapes), to = shapes[0]
  let left = 0, right = 0
  while (left < from.length && right < to.length) {
    // The shortest runs on both sides with the same number of elements; of one axis each, it is the same axis.
    let [a, b] = [from[left], to[right]]
    const [first, second] = [left++, right++]
    while (a !== b) {
      if (a < b) a *= from[left++] ?? NaN
      else b *= to[right++] ?? NaN
      if (Number.isNaN(a) || Number.isNaN(b)) break
    }
    const isOne = left === first + 1 && right === second + 1
    if (isOne && from[first] > 1 && typeof sizes[second] === 'number' && sizes[second] > 0) sizes[second] = `x${first}`
  }
  return t.step('reshape', [x], { sizes })
}

/** Whole numbers that an input holds for either batch. */
export const listAt = ({ args }: Reading, at: number, version: 0 | 1): number[] | undefined => {
  const arg = args[at]
  if (!arg) return undefined
  if (arg.kind !== 'known') throw new InputError(`its input ${at + 1} is computed from the images, expected numbers`)
  return Array.from(arg.pair[version].values)
}

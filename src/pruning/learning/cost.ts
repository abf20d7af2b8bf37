// What a network costs as a polynomial of how many elements of its units stay, so that a cost has a gradient: linear
// where a product has one such axis, and a term for two units where it has both (queries and values of linear
// attention, filters and those that read them).
import type { Tensor } from '../../core/tensor.ts'
import { add, mul, offset, scale } from '../../ops/elementwise.ts'
import { reshape } from '../../ops/reshape.ts'
import { costOf } from '../../nn/macs.ts'
import type { PruningJob } from '../methods/method.ts'
import type { Plan } from '../plan/slice.ts'
import { planCost } from '../trial.ts'
import type { Unit } from '../units/units.ts'

/** cost = constant + sum of linear n_u + sum of pairs n_u n_v, for n_u elements of unit u. */
export interface CostPolynomial {
  constant: number
  /** Per element. */
  linear: ReadonlyMap<string, number>
  pairs: readonly { units: readonly [string, string], each: number }[]
}

/**
 * The multiply-adds, parameters or elements of a job's network. Found by what shapes cost with one channel less, of one
 * unit and of two; what has an axis twice (a coupled residual stream) is taken as linear. Where heads keep indices of
 * their own and share a kernel, the parameters are those before it is expanded.
 */
export function costPolynomial(
  { model, found, units, input }: Pick<PruningJob, 'model' | 'found' | 'units' | 'input'>,
  what: 'macs' | 'params' | 'keep',
): CostPolynomial {
  const can = units.filter(({ shape }) => shape.at(-1)! > 1)
  if (what === 'keep') return { constant: 0, linear: new Map(units.map(({ name }) => [name, 1])), pairs: [] }
  const whole = costOf(model, input)[what]
  const without = (...less: Unit[]) => planCost(model, found, lastChannelGone(less), input)[what]
  const one = new Map(can.map((unit) => [unit.name, whole - without(unit)]))
  const pairs = pairsOf(can).flatMap(([a, b]) => {
    const second = one.get(a.name)! + one.get(b.name)! - (whole - without(a, b))
    const each = second / (heads(a) * heads(b))
    return each ? [{ units: [a.name, b.name] as const, each }] : []
  })
  const linear = new Map(can.map((unit) => {
    const shared = pairs.reduce((sum, { units: [a, b], each }) => {
      const other = a === unit.name ? b : b === unit.name ? a : null
      return other === null ? sum : sum + each * can.find(({ name }) => name === other)!.size
    }, 0)
    return [unit.name, one.get(unit.name)! / heads(unit) - shared]
  }))
  const all = costAt({ constant: 0, linear, pairs }, new Map(can.map(({ name, size }) => [name, size])))
  return { constant: whole - all, linear, pairs }
}

const heads = ({ size, shape }: Unit) => size / shape.at(-1)!

const lastChannelGone = (units: readonly Unit[]): Plan =>
  new Map(units.map(({ name, size, shape }) => {
    const dim = shape.at(-1)!
    return [name, Uint8Array.from({ length: size }, (_, i) => i % dim === dim - 1 ? 0 : 1)]
  }))

/** Units that one product may have both of: those of one layer, and those with axes of one tensor. */
function pairsOf(units: readonly Unit[]): [Unit, Unit][] {
  const owner = ({ name }: Unit) => name.slice(0, name.lastIndexOf('.'))
  const paths = new Map(units.map(({ name, members }) => [name, new Set(members.map(({ path }) => path))]))
  return units.flatMap((a, i) =>
    units.slice(i + 1).flatMap((b): [Unit, Unit][] => {
      const mine = paths.get(a.name)!
      return owner(a) === owner(b) || b.members.some(({ path }) => mine.has(path)) ? [[a, b]] : []
    })
  )
}

/** The cost of so many elements. */
export function costAt({ constant, linear, pairs }: CostPolynomial, counts: ReadonlyMap<string, number>): number {
  let cost = constant
  for (const [name, each] of linear) cost += each * counts.get(name)!
  for (const { units: [a, b], each } of pairs) cost += each * counts.get(a)! * counts.get(b)!
  return cost
}

/**
 * The share that is gone of a cost that is `whole` with everything, [1], for counts that are tensors of one element. It
 * is reckoned in shares, since the gradient of millions explodes. Runs under the tape.
 */
export function goneShare(
  { constant, linear, pairs }: CostPolynomial,
  counts: ReadonlyMap<string, Tensor>,
  whole: number,
): Tensor {
  const terms = [
    ...[...linear].map(([name, each]) => scale(counts.get(name)!, { by: -each / whole })),
    ...pairs.map(({ units: [a, b], each }) => mul(scale(counts.get(a)!, { by: -each / whole }), counts.get(b)!)),
  ]
  return reshape(offset(terms.reduce((sum, term) => add(sum, term)), { by: 1 - constant / whole }), { shape: [1] })
}

// Is cutting a unit the same as multiplying it by zero? Follows the zeros from the unit's gates to everything that
// reads them.
import type { Call } from '../../core/tape.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { AxisClasses } from './classes.ts'

/** What the walk needs: the calls, the unit's classes, and the calls of its gates. */
export interface ExactnessInput {
  calls: readonly Call[]
  classes: AxisClasses
  inside: ReadonlySet<number>
  gates: ReadonlySet<Call>
  cut: (call: Call) => boolean
  model: readonly [path: string, tensor: Tensor][]
}

/**
 * Null if a zeroed element contributes nothing anywhere, so that slicing equals masking; otherwise the first op for
 * which that is not so: one that turns a zero into something else before it is summed away, mixes along the axis, or
 * reads it unmasked.
 */
export function exactness({ calls, classes, inside, gates, cut, model }: ExactnessInput): string | null {
  const paths = new Map(model.map(([path, leaf]) => [leaf, path]))
  const carries = (tensor: Tensor) => classes.axesIn(tensor, inside).length > 0
  const mixes = classes.mixed.filter(({ tensor, axis }) => classes.axesIn(tensor, inside).includes(axis))
  const zero = new Set<Tensor>()
  const why = new Map<Tensor, string>()
  let last: string | undefined // the weight read last: where in the network we are
  for (const call of calls) {
    const { op, args, out, attrs } = call
    const own = args.map((arg) => arg && paths.get(arg)).find(Boolean)
    last = own ?? last
    const name = own ? `${op.name} of '${own}'` : last ? `${op.name} after '${last}'` : op.name
    const mixing = mixes.find((each) => each.call === call)
    if (mixing) return `${name}: ${mixing.reason}`
    if (cut(call)) {
      // The axis ends here; a branch-local gate of the unit masks it.
      if (!gates.has(call) && carries(args[0]!) && !zero.has(args[0]!)) {
        return `${name} closes an axis that was not masked`
      }
      continue
    }
    if (gates.has(call)) {
      zero.add(out)
      continue
    }
    const carrying = args.filter((arg): arg is Tensor => arg !== null && carries(arg))
    if (carrying.length === 0) continue
    const earlier = carrying.map((arg) => why.get(arg)).find(Boolean)
    if (!carries(out)) {
      // Contracted: the products are zero if one factor is.
      if (carrying.some((arg) => zero.has(arg))) continue
      return earlier ? `${earlier}; ${name} then sums over it` : `${name} reads it before the gate`
    }
    const activations = carrying.filter((arg) => !paths.has(arg))
    const someZero = carrying.some((arg) => zero.has(arg))
    const keeps = op.zero(attrs)
    if (op.is('concat')) {
      if (carrying.every((arg) => zero.has(arg))) zero.add(out)
      else if (someZero) why.set(out, `${name} puts something beside it that is not zero there`)
    } else if (keeps === 'all') {
      // Also arguments that are stretched over the axis count.
      if (args.every((arg) => arg === null || zero.has(arg))) zero.add(out)
      else if (someZero) why.set(out, `${name} adds something that is not zero there`)
    } else if (keeps === 'any') {
      if (someZero) zero.add(out)
    } else {
      const breaking = args.some((arg, i) => arg !== null && carries(arg) && keeps[i] === 'breaks')
      if (activations.length && activations.every((arg) => zero.has(arg)) && !breaking) zero.add(out)
      else if (someZero) why.set(out, `${name} turns a zero into something else`)
    }
    if (earlier && !zero.has(out)) why.set(out, earlier)
  }
  return null
}

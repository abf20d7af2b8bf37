// Is cutting a unit the same as multiplying it by zero? Follows the zeros from the unit's gates to everything that reads them.
import type { Call } from '../tape.ts'
import type { Tensor } from '../tensor.ts'
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

// Sums of arguments: zero only where all of them are zero, whatever they are. Every other op multiplies its arguments.
const sums = new Set(['add', 'sub', 'maximum', 'minimum', 'where', 'concat', 'greater', 'less', 'equal', 'linearAdd'])

/**
 * Null if a zeroed element contributes nothing anywhere, so that slicing equals masking; otherwise the first op for which that
 * is not so: one that turns a zero into something else before it is summed away, mixes along the axis, or reads it unmasked.
 */
export function exactness({ calls, classes, inside, gates, cut, model }: ExactnessInput): string | null {
  const paths = new Map(model.map(([path, leaf]) => [leaf, path]))
  const carries = memo((tensor: Tensor) => classes.axesIn(tensor, inside).length > 0)
  const zero = new Set<Tensor>()
  const why = new Map<Tensor, string>()
  const mixes = classes.mixed.filter(({ tensor, axis }) => classes.axesIn(tensor, inside).includes(axis))
  for (const call of calls) {
    const { op, args, out } = call
    const name = () => describe(call, paths)
    const mixing = mixes.find((each) => each.call === call)
    if (mixing) return `${name()}: ${mixing.reason}`
    if (cut(call)) {
      if (gates.has(call)) continue                         // the axis ends here, masked
      if (carries(args[0]!) && !zero.has(args[0]!)) return `${name()} closes an axis that was not masked`
      continue
    }
    if (gates.has(call)) {
      zero.add(out)
      continue
    }
    const carrying = args.filter((arg) => arg !== null && carries(arg)) as Tensor[]
    if (carrying.length === 0) continue
    const weights = new Set(model.map(([, leaf]) => leaf))
    const activations = carrying.filter((arg) => !weights.has(arg))
    if (!carries(out)) {
      // Contracted: the products are zero if one factor is.
      if (!carrying.some((arg) => zero.has(arg))) {
        const blame = activations.map((arg) => why.get(arg)).find(Boolean)
        return blame ? `${blame}; ${name()} then sums over it` : `${name()} reads it before the gate`
      }
      continue
    }
    if (sums.has(op.name)) {
      const all = args.filter((arg) => arg !== null).every((arg) => zero.has(arg))
      if (all) zero.add(out)
      else if (carrying.some((arg) => zero.has(arg))) why.set(out, `${name()} adds something that is not zero there`)
      continue
    }
    const breaking = args.findIndex((arg, i) => arg !== null && carries(arg) && op.zero[i] === 'breaks')
    if (activations.length && activations.every((arg) => zero.has(arg)) && breaking < 0) zero.add(out)
    else if (activations.some((arg) => zero.has(arg))) why.set(out, `${name()} turns a zero into something else`)
    else if (activations.some((arg) => why.has(arg))) why.set(out, activations.map((arg) => why.get(arg)).find(Boolean)!)
  }
  return null
}

function describe({ op, args }: Call, paths: ReadonlyMap<Tensor, string>): string {
  const path = args.map((arg) => arg && paths.get(arg)).find(Boolean)
  return path ? `${op.name} of '${path}'` : op.name
}

function memo<K, V>(f: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>()
  return (key) => {
    if (!known.has(key)) known.set(key, f(key))
    return known.get(key)!
  }
}

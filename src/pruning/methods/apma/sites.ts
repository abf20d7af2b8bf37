// Where attention happens in a network, read off the calls of a forward pass: which units its channels are, and
// queries, keys and values before any mask. Nothing is known of the network's classes.
import { gatesOf } from '../../../nn/gates.ts'
import type { Model } from '../../../nn/model.ts'
import type { Call } from '../../../core/tape.ts'
import type { Tensor } from '../../../core/tensor.ts'
import type { Unit } from '../../units/units.ts'
import type { AttentionMap } from './difference.ts'

/** One attention of a network. */
export interface AttentionSite {
  /** The unit of its query-key channels, and activations [B, N, H, D] of queries and keys as the gates get them. */
  queryKey: { unit: Unit, activations: Tensor[] } | null
  /** The unit of its value channels, and values [B, N, H, D]. */
  values: { unit: Unit, activations: Tensor[] } | null
  map: AttentionMap
}

/** The attentions among recorded calls, with those units that are in `units`. */
export function attentionSites(model: Model, units: readonly Unit[], calls: readonly Call[]): AttentionSite[] {
  const paths = new Map(gatesOf(model).map(([path, gate]): [object, string] => [gate, path]))
  const unitAt = new Map(units.flatMap((unit) => unit.gates.map(({ path }) => [path, unit] as const)))
  const before = new Map<Tensor, Tensor>() // what a gate gave: what it got
  const sites: AttentionSite[] = []
  let queryKey: AttentionSite['queryKey'] = null, values: Unit | null = null
  const gated = ({ args, attrs, out }: Call) => {
    const { at } = attrs as { at?: object }, unit = at && unitAt.get(paths.get(at) ?? ''), x = args[0]!
    if (out !== x) before.set(out, x)
    if (!unit || unit.shape.length < 2) return
    const site = sites.at(-1)
    if (unit.kind === 'query-key') queryKey = { unit, activations: [...queryKey?.activations ?? [], ungated(x)] }
    else if (unit.kind === 'values' && site && !site.values && standsBehind(unit, site)) {
      site.values = { unit, activations: [...pending] }
    } else if (unit.kind === 'values') values = unit
  }
  const ungated = (x: Tensor): Tensor => before.has(x) ? ungated(before.get(x)!) : x
  // Values of linear attention have their gate behind the sum with the depthwise branch.
  let pending: Tensor[] = []
  for (const call of calls) {
    const { op, args, attrs } = call
    if (op.is('gate')) gated(call)
    if (!op.is('attention')) continue
    const [q, k, v] = args as Tensor[], { scale } = attrs as { scale?: number }
    const found = queryKey as AttentionSite['queryKey']
    if (found?.activations.length === 1) found.activations.push(ungated(k))
    pending = [ungated(v)]
    sites.push({
      queryKey: found,
      values: values && { unit: values, activations: pending },
      map: { q, k, softmax: scale === undefined ? null : { scale, bias: args[3] ?? null, mask: args[4] ?? null } },
    })
    queryKey = values = null
  }
  return sites
}

/** Whether a unit of values is of the layer of an attention before it. */
const standsBehind = ({ name }: Unit, { queryKey }: AttentionSite): boolean =>
  !queryKey || ownerOf(name) === ownerOf(queryKey.unit.name)

const ownerOf = (name: string) => name.slice(0, name.lastIndexOf('.'))

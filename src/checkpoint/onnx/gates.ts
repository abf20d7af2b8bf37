// Where axes of a foreign network may shrink: a gate behind each layer and what follows it, as in our own models.
//   - filters of a convolution and neurons of a linear layer, behind norm and activation
//   - filters that end in a residual sum: a branch-local gate before it, so that the residual width stays
//   - the residual width itself, behind the sum
import type { GraphGate, GraphStep } from '../../../models/graph.ts'

/** Steps that leave the channel axis alone and stand between a layer and its gate. */
const passes = new Set([
  'batch-norm',
  'relu',
  'gelu',
  'gelu-tanh',
  'silu',
  'hardswish',
  'clamp',
  'leaky-relu',
  'sigmoid',
  'tanh',
  'softplus',
])
/** Steps behind which a channel of a linear layer is no axis of its own. */
const splits = new Set(['reshape', 'slice'])

/** The steps with gates among them, and the gates by name. */
export function withGates(steps: readonly GraphStep[]): { steps: GraphStep[], gates: Record<string, GraphGate> } {
  const readers = new Map<number, number[]>(), gates: Record<string, GraphGate> = {}
  steps.forEach(({ from }, i) => {
    for (const at of from) {
      const known = readers.get(at)
      if (known) known.push(i)
      else readers.set(at, [i])
    }
  })
  const kindOf = (value: number) => value ? steps[value - 1].kind : 'images'
  /** Sums of two values that both come from the images. */
  const isResidual = ({ kind, from }: GraphStep) =>
    kind === 'add' && from.every((at) => !['parameter', 'spread'].includes(kindOf(at)))
  /** Value -> gate that stands behind it. */
  const behind = new Map<number, string>()
  const place = (value: number, name: string, gate: GraphGate) => {
    let own = name
    for (let number = 2; Object.hasOwn(gates, own); number++) own = `${name}_${number}`
    if (behind.has(value)) return
    gates[own] = gate
    behind.set(value, own)
  }
  /** The last value of the chain of norms and activations behind a value, and who reads it. */
  const endOf = (value: number) => {
    let at = value, all = readers.get(at) ?? []
    while (all.length === 1 && passes.has(steps[all[0]].kind)) {
      at = all[0] + 1
      all = readers.get(at) ?? []
    }
    return { at, all }
  }
  let sums = 0
  steps.forEach((step, i) => {
    const { at, all } = endOf(i + 1)
    if (!all.length) return
    if (step.kind === 'conv2d' || step.kind === 'linear') {
      const isMap = step.kind === 'conv2d', ends = all.length === 1 && isResidual(steps[all[0]])
      if (!isMap && (ends || all.some((reader) => splits.has(steps[reader].kind)))) return
      place(at, step.layer!, {
        axis: isMap ? -3 : -1,
        kind: isMap ? 'filters' : 'neurons',
        ...isMap && ends && { branchLocal: true },
      })
    } else if (isResidual(step) && mapped(steps, i)) {
      place(at, `residual${++sums}`, { axis: -3, kind: 'residual' })
    }
  })
  return { steps: inserted(steps, behind), gates }
}

/** Whether a sum is one of maps: it has a convolution behind it, through norms, activations and other sums. */
function mapped(steps: readonly GraphStep[], at: number): boolean {
  for (let i = at, left = steps.length; left > 0; left--) {
    const { kind, from } = steps[i]
    if (kind === 'conv2d') return true
    if (!(passes.has(kind) || ['add', 'max-pool', 'avg-pool'].includes(kind)) || from[0] === 0) return false
    i = from[0] - 1
  }
  return false
}

/** Gates become steps; whoever read a value reads it behind its gate. */
function inserted(steps: readonly GraphStep[], behind: ReadonlyMap<number, string>): GraphStep[] {
  const out: GraphStep[] = [], now = new Map([[0, 0]])
  steps.forEach((step, i) => {
    out.push({ ...step, from: step.from.map((at) => now.get(at)!) })
    const name = behind.get(i + 1)
    if (name !== undefined) out.push({ kind: 'gate', from: [out.length], name })
    now.set(i + 1, out.length)
  })
  return out
}

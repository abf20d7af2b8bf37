// What exporters write in many operators and is one thing: gelu, silu, layer norm. Found before anything is read, so
// that rules of relevance and pruning see it as what it is. What looks otherwise stays as it stands.
import type { OnnxAttribute } from '../../core/onnx-form.ts'
import type { DecodedNode, DecodedOnnx } from '../../onnx/decode.ts'

const none: DecodedNode['tensors'] = new Map()

/** A graph by values: who makes them, who reads them. */
class Wiring {
  readonly makers = new Map<string, DecodedNode>()
  readonly readers = new Map<string, DecodedNode[]>()
  private readonly scalars = new Map<string, number>()

  constructor({ nodes, tensors, outputs }: DecodedOnnx) {
    for (const { name, values } of tensors) this.note(name, values)
    for (const node of nodes) {
      for (const output of node.outputs) this.makers.set(output, node)
      for (const input of node.inputs) this.read(input, node)
      const value = node.type === 'Constant' ? node.tensors.get('value') : undefined
      if (value) this.note(node.outputs[0], value.values)
    }
    for (const { name } of outputs) this.read(name, nodes[0]) // read outside
  }

  private note(name: string, values: ArrayLike<number>): void {
    if (values.length === 1) this.scalars.set(name, values[0])
  }

  private read(value: string, reader: DecodedNode): void {
    const known = this.readers.get(value)
    if (known) known.push(reader)
    else this.readers.set(value, [reader])
  }

  /** The one reader of a node's output, if it is of this type. */
  next(node: DecodedNode, type: string): DecodedNode | null {
    const all = this.readers.get(node.outputs[0]) ?? []
    return all.length === 1 && all[0].type === type ? all[0] : null
  }

  maker(value: string, type: string): DecodedNode | null {
    const found = this.makers.get(value)
    return found?.type === type ? found : null
  }

  /** Whether a value is a scalar of about this size. */
  is(value: string, expected: number): boolean {
    const found = this.scalars.get(value)
    return found !== undefined && Math.abs(found - expected) <= 1e-5 * Math.abs(expected)
  }

  scalar(value: string): number | undefined {
    return this.scalars.get(value)
  }

  /** The other operand of a commutative node. */
  other({ inputs }: DecodedNode, value: string): string {
    return inputs[0] === value ? inputs[1] : inputs[0]
  }

  /** x where a node is x times a scalar of this size, in either order. */
  times(node: DecodedNode | null, by: number): string | null {
    if (!node) return null
    const at = node.inputs.findIndex((input) => this.is(input, by))
    return at < 0 ? null : node.inputs[1 - at]
  }
}

/** The nodes with what was recognised as one node each, where the last of its nodes was. */
export function recognised(graph: DecodedOnnx): DecodedNode[] {
  const wiring = new Wiring(graph), replaced = new Map<DecodedNode, DecodedNode>()
  for (const node of graph.nodes) {
    const found = node.type === 'Erf'
      ? gelu(node, wiring)
      : node.type === 'Sqrt'
      ? layerNorm(node, wiring)
      : node.type === 'Sigmoid' || node.type === 'HardSigmoid'
      ? silu(node, wiring)
      : null
    if (found) replaced.set(found.last, found.one)
  }
  return alive(
    withoutNames(graph.nodes.map((node) => replaced.get(node) ?? node), graph.outputs[0]?.name),
    graph.outputs[0]?.name,
  )
}

/** Nodes that only give a value another name are taken out, unless it is the output's. */
function withoutNames(nodes: readonly DecodedNode[], output: string | undefined): DecodedNode[] {
  const names = new Map<string, string>(), own = (name: string) => names.get(name) ?? name
  return nodes.flatMap((node) => {
    const inputs = node.inputs.map(own), [out] = node.outputs
    if (!['Identity', 'Dropout'].includes(node.type) || out === output) return [{ ...node, inputs }]
    names.set(out, inputs[0])
    return []
  })
}

interface Found {
  last: DecodedNode
  one: DecodedNode
}

const one = (
  type: string,
  last: DecodedNode,
  inputs: readonly string[],
  attributes: Readonly<Record<string, OnnxAttribute>> = {},
): Found => ({ last, one: { type, name: last.name, inputs, outputs: last.outputs, attributes, tensors: none } })

/** x (1 + erf(x / sqrt 2)) / 2, the factors in any order. */
function gelu(erf: DecodedNode, wiring: Wiring): Found | null {
  const inner = wiring.makers.get(erf.inputs[0])
  const x = inner?.type === 'Div' && wiring.is(inner.inputs[1], Math.SQRT2)
    ? inner.inputs[0]
    : inner?.type === 'Mul'
    ? wiring.times(inner, Math.SQRT1_2)
    : null
  const plus = wiring.next(erf, 'Add')
  if (x === null || !plus || !wiring.is(wiring.other(plus, erf.outputs[0]), 1)) return null
  const first = wiring.next(plus, 'Mul')
  if (!first) return null
  const factor = wiring.other(first, plus.outputs[0])
  if (wiring.times(wiring.maker(factor, 'Mul'), 0.5) === x) return one('Gelu', first, [x])
  const second = wiring.next(first, 'Mul')
  if (!second) return null
  const rest = wiring.other(second, first.outputs[0])
  const fits = (factor === x && wiring.is(rest, 0.5)) || (wiring.is(factor, 0.5) && rest === x)
  return fits ? one('Gelu', second, [x]) : null
}

/** x sigmoid(x), and the same with the hard sigmoid. */
function silu(gate: DecodedNode, wiring: Wiring): Found | null {
  const times = wiring.next(gate, 'Mul'), [x] = gate.inputs
  if (!times || wiring.other(times, gate.outputs[0]) !== x) return null
  if (gate.type === 'Sigmoid') return one('Silu', times, [x])
  const { alpha, beta } = gate.attributes as Record<string, { float: number } | undefined>
  const isUsual = Math.abs((alpha?.float ?? 0.2) - 1 / 6) < 1e-4 && (beta?.float ?? 0.5) === 0.5
  return isUsual ? one('HardSwish', times, [x]) : null
}

/** (x - mean) / sqrt(variance + eps) gain + bias over the last axis. */
function layerNorm(root: DecodedNode, wiring: Wiring): Found | null {
  const plus = wiring.maker(root.inputs[0], 'Add')
  const at = plus?.inputs.findIndex((input) => wiring.scalar(input) !== undefined) ?? -1
  const variance = plus && at >= 0 ? wiring.maker(plus.inputs[1 - at], 'ReduceMean') : null
  const square = variance && isLast(variance, wiring) ? wiring.makers.get(variance.inputs[0]) : undefined
  const isSquare = (square?.type === 'Pow' && wiring.is(square.inputs[1], 2))
    || (square?.type === 'Mul' && square.inputs[0] === square.inputs[1])
  const divided = wiring.next(root, 'Div')
  if (!plus || !square || !isSquare || divided?.inputs[1] !== root.outputs[0]) return null
  const centred = [square.inputs[0], divided.inputs[0]].map((value) => centredOf(value, wiring))
  const [x] = centred, gain = wiring.next(divided, 'Mul'), bias = gain && wiring.next(gain, 'Add')
  if (x === null || centred[1] !== x || !bias) return null
  const inputs = [x, wiring.other(gain!, divided.outputs[0]), wiring.other(bias, gain!.outputs[0])]
  return one('LayerNormalization', bias, inputs, { axis: -1, epsilon: { float: wiring.scalar(plus.inputs[at])! } })
}

/** Whether a mean is over the last axis: an attribute, or from opset 18 on an input. */
const isLast = ({ inputs, attributes = {} }: DecodedNode, wiring: Wiring) => {
  const { axes } = attributes as { axes?: readonly number[] }
  return inputs.length > 1
    ? wiring.scalar(inputs[1]) === -1
    : Array.isArray(axes) && axes.length === 1 && axes[0] === -1
}

/** x where a value is x minus its mean over the last axis. */
function centredOf(value: string, wiring: Wiring): string | null {
  const minus = wiring.maker(value, 'Sub'), mean = minus && wiring.maker(minus.inputs[1], 'ReduceMean')
  return mean && isLast(mean, wiring) && mean.inputs[0] === minus.inputs[0] ? minus.inputs[0] : null
}

/** Nodes that the output needs. */
function alive(nodes: readonly DecodedNode[], output: string | undefined): DecodedNode[] {
  const needed = new Set([output])
  return nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((each) => needed.has(each))) return false
    for (const input of inputs) needed.add(input)
    return true
  }).reverse()
}

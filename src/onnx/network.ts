// A network as an ONNX file: its forward pass is recorded, and every op says which nodes compute the same.
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import type { OnnxSize, OnnxValue } from '../core/onnx-form.ts'
import type { Tensor } from '../core/tensor.ts'
import { describedLeaves, disposeTree } from '../core/tree.ts'
import { floatToHalf, halfToFloat } from '../files/half.ts'
import type { Model } from '../nn/model.ts'
import { densify, sparseWeights } from '../sparse/sparsify.ts'
import { GraphBuilder } from './builder.ts'
import { encodeOnnx, type OnnxNode, type OnnxTensor } from './encode.ts'
import { fingerprint } from './fingerprint.ts'
import { recorded, type RecordedCall, type Recording, type Source } from './recording.ts'

/** The metadata that tells whether a graph is still as it was written. */
export const GRAPH_KEY = 'espalier-graph'

/** How a network becomes a file. */
export interface OnnxOptions {
  /** `dynamic` (default): any number of images; or just so many. */
  batch?: 'dynamic' | number
  /** `metadata_props` of the file. */
  metadata?: Readonly<Record<string, string>>
}

/** A file, and what to know of it. */
export interface OnnxFile {
  bytes: Uint8Array<ArrayBuffer>
  /** Nodes of the graph. */
  nodes: number
  /** Paths of packed weights, which are dense in the file. */
  dense: string[]
  /** Whether weights are stored in half precision, as which they are exact, and cast to float where they are used. */
  half: boolean
}

/**
 * A model's inference as ONNX: IR version 8, opset 17, input `images` [batch, channels, y, x], output `logits`.
 * Weights are stored under their paths in the model. @throws InputError for an op without ONNX form, and as `recorded`.
 */
export async function encodeNetwork(
  model: Model,
  image: readonly number[],
  { batch = 'dynamic', metadata = {} }: OnnxOptions = {},
): Promise<OnnxFile> {
  const packed = sparseWeights(model)
  if (packed.length) {
    const whole = await densify(model)
    try {
      const file = await encodeNetwork(whole, image, { batch, metadata })
      return { ...file, dense: packed.map(([path]) => path) }
    } finally {
      disposeTree(whole)
    }
  }
  const leaves = leafNames(model), recording = await recorded(model, image, batch, new Set(leaves.keys()))
  const graph = graphOf(recording, leaves, [batch === 'dynamic' ? { batch: 1 } : batch, ...image])
  const read = new Set(graph.nodes.flatMap(({ inputs }) => inputs))
  const stored = [...leaves].filter(([, { name, saved }]) => saved || read.has(name))
  const tensors: OnnxTensor[] = await Promise.all(
    stored.map(async ([leaf, { name }]) => ({ name, shape: leaf.shape, data: hostData(await leaf.data()) })),
  )
  const { nodes, weights, half } = halved(graph.nodes, tensors)
  const all = { nodes, tensors: [...weights, ...graph.tensors], inputs: [graph.input], output: graph.output }
  const about = { ...metadata, [GRAPH_KEY]: await fingerprint(all) }
  return { bytes: encodeOnnx({ ...all, metadata: about }), nodes: nodes.length, dense: [], half }
}

interface LeafName {
  name: string
  saved: boolean
}

/** What follows from sizes (tables, positions) has a name that begins with '/', and is no weight to its readers. */
function leafNames(model: Model): Map<Tensor, LeafName> {
  const names = new Map<Tensor, LeafName>()
  for (const [path, leaf, { saved = true }] of describedLeaves(model)) {
    if (!names.has(leaf)) names.set(leaf, { name: saved === true ? path : `/${path}`, saved: saved === true })
  }
  return names
}

/** All nodes and constants of a recording. */
function graphOf(recording: Recording, leaves: ReadonlyMap<Tensor, LeafName>, shape: readonly OnnxSize[]) {
  const names = new Set([...leaves.values()].map(({ name }) => name))
  const free = (wanted: string) => names.has(wanted) ? `/${wanted}` : wanted
  const input: OnnxValue = { name: free('images'), shape }, graph = new GraphBuilder(input)
  const values: OnnxValue[] = [], made = new Map<number, OnnxValue>()
  const valueOf = (source: Source): OnnxValue => {
    switch (source.kind) {
      case 'input':
        return input
      case 'leaf':
        return { name: leaves.get(source.tensor)!.name, shape: source.tensor.shape }
      case 'call':
        return values[source.index]
      case 'made': {
        let value = made.get(source.index)
        if (!value) made.set(source.index, value = madeValue(graph, recording.made[source.index]))
        return value
      }
    }
  }
  recording.calls.forEach((call, i) => {
    graph.place = `${i}.${call.op.name}`
    values.push({ name: nodesOf(call, call.args.map((arg) => arg && valueOf(arg)), graph), shape: call.out })
  })
  // The last node's output has the output's name.
  const last = valueOf(recording.result), name = free('logits')
  graph.place = 'output'
  const from = graph.nodes.some(({ outputs }) => outputs.includes(last.name))
    ? last.name
    : graph.node('Identity', [last])
  return {
    nodes: renamed(graph.nodes, new Map([[from, name]])),
    tensors: graph.tensors,
    input,
    output: { name, shape: recording.out },
  }
}

function nodesOf(call: RecordedCall, args: readonly (OnnxValue | null)[], graph: GraphBuilder): string {
  const { op, attrs, out } = call, name = op.onnx(args, attrs, out, graph)
  if (name !== null) return name
  throw new InputError(
    `${
      quoted(op.name)
    }: this op has no ONNX form; expected its definition, op({ ... }), to have a field onnx that says `
      + 'which nodes compute the same',
  )
}

/** A tensor that the model makes in its call, repeated along the batch. */
function madeValue(graph: GraphBuilder, { shape, values, dtype }: Recording['made'][number]): OnnxValue {
  const known = shape.map((n) => typeof n === 'number' ? n : 1)
  const constant = graph.keep('/made', known, dtype === 'f32' ? values : BigInt64Array.from(values, BigInt))
  const isOpen = shape.some((n) => typeof n !== 'number')
  return { name: isOpen ? graph.expanded(constant, shape) : constant, shape }
}

/** Halves where every weight is one: the file of a network in half precision stays as small as the network. */
function halved(nodes: readonly OnnxNode[], tensors: readonly OnnxTensor[]) {
  const floats = tensors.filter(({ data }) => data instanceof Float32Array)
  const words = new Map<string, Uint16Array>()
  for (const { name, data } of floats) {
    const half = floatToHalf(data as Float32Array), back = halfToFloat(half)
    if (!(data as Float32Array).every((value, i) => Object.is(value, back[i]))) {
      return { nodes, weights: tensors, half: false }
    }
    words.set(name, half)
  }
  const casts = floats.map(({ name }): OnnxNode => ({
    type: 'Cast',
    name: `/float/${name}`,
    inputs: [name],
    outputs: [`/float/${name}`],
    attributes: { to: 1 },
  }))
  const inner = renamed(nodes, new Map(floats.map(({ name }) => [name, `/float/${name}`])))
  const read = new Set(inner.flatMap(({ inputs }) => inputs))
  return {
    nodes: [...casts.filter(({ outputs: [name] }) => read.has(name)), ...inner],
    weights: tensors.map((each) => words.has(each.name) ? { ...each, data: words.get(each.name)! } : each),
    half: floats.length > 0,
  }
}

function renamed(nodes: readonly OnnxNode[], names: ReadonlyMap<string, string>): OnnxNode[] {
  const own = (name: string) => names.get(name) ?? name
  return nodes.map((node) => ({ ...node, inputs: node.inputs.map(own), outputs: node.outputs.map(own) }))
}

const hostData = (data: Float32Array | Int32Array | Uint32Array): Float32Array | BigInt64Array =>
  data instanceof Float32Array ? data : BigInt64Array.from(data, BigInt)

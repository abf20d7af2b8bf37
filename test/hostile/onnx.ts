// ONNX files: cut, changed, with other sizes, types, operators and attributes, in circles, with constants that expand,
// and with weights that lie elsewhere.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Kind, AttributeProtoSchema, GraphProtoSchema, type ModelProto,
  ModelProtoSchema, NodeProtoSchema, StringStringEntryProtoSchema, TensorProto_DataLocation as Location,
  TensorProto_DataType as Type, TensorProtoSchema } from 'onnx-buf'
import type { HostileCase } from './case.ts'
import type { Material } from './material.ts'
import { type Draw, drawer } from './random.ts'

const data = ['--data', 'cifar10:$/ten.bin', '--adapter', 'cpu']

/** A command that reads the network, in turn. */
function commandOn(draw: Draw): { args: string[], leaves?: string[] } {
  return draw.pick<{ args: string[], leaves?: string[] }>([
    { args: ['inspect', '$/net.onnx'] },
    { args: ['inspect', '$/net.onnx', '--units', '--json'] },
    { args: ['import', '$/net.onnx', '--out', '$/out.safetensors'], leaves: ['out.safetensors'] },
    { args: ['eval', '$/net.onnx', ...data] },
    { args: ['explain', '$/net.onnx', '--image', '$/a.png', '--adapter', 'cpu'] },
  ])
}

const numbers = [0n, -1n, 1n, 7n, 2n ** 31n, 2n ** 40n, 2n ** 53n, 2n ** 62n, -(2n ** 63n)]
const names = ['', '../x', '__proto__', 'constructor', '\u001b[31m', 'a\nb', 'x'.repeat(5000), '🙂']
const operators = [
  'Relu',
  'If',
  'Loop',
  'Conv',
  'Gather',
  'Reshape',
  'Softmax',
  'Concat',
  'Einsum',
  'Resize',
  'toString',
  '',
]

/** Changes of a graph by what they are called. */
const changes: Readonly<Record<string, (model: ModelProto, draw: Draw) => void>> = {
  circle: ({ graph }) => graph!.node.reverse(),
  'node moved': ({ graph }, draw) => {
    const [node] = graph!.node.splice(draw.below(graph!.node.length), 1)
    graph!.node.splice(draw.below(graph!.node.length), 0, node)
  },
  'node lost': ({ graph }, draw) => graph!.node.splice(draw.below(graph!.node.length), 1),
  'weights lost': ({ graph }, draw) => graph!.initializer.splice(draw.below(graph!.initializer.length), 1),
  'input renamed': ({ graph }, draw) => {
    const node = draw.pick(graph!.node)
    if (node.input.length) node.input[draw.below(node.input.length)] = draw.pick([...names, node.output[0]])
  },
  'output renamed': ({ graph }, draw) => draw.pick(graph!.node).output[0] = draw.pick(names),
  operator: ({ graph }, draw) => draw.pick(graph!.node).opType = draw.pick(operators),
  domain: ({ graph }, draw) => draw.pick(graph!.node).domain = draw.pick(['com.microsoft', '\u001b]0;x\u0007']),
  attribute: ({ graph }, draw) => {
    const { attribute } = draw.pick(graph!.node.filter((node) => node.attribute.length)), one = draw.pick(attribute)
    if (draw.chance(0.3)) one.type = draw.pick([Kind.INT, Kind.FLOAT, Kind.GRAPH, Kind.STRING, Kind.UNDEFINED])
    else if (draw.chance(0.2)) attribute.splice(attribute.indexOf(one), 1)
    else if (one.ints.length) one.ints[draw.below(one.ints.length)] = draw.pick(numbers)
    else one.i = draw.pick(numbers)
  },
  dims: ({ graph }, draw) => {
    const { dims } = draw.pick(graph!.initializer)
    if (dims.length && draw.chance(0.8)) dims[draw.below(dims.length)] = draw.pick(numbers)
    else dims.push(draw.pick(numbers))
  },
  type: ({ graph }, draw) =>
    draw.pick(graph!.initializer).dataType = draw.pick([Type.INT8, Type.STRING, Type.FLOAT16, Type.DOUBLE, 99 as Type]),
  numbers: ({ graph }, draw) => {
    const tensor = draw.pick(graph!.initializer), raw = Buffer.from(tensor.rawData)
    if (raw.length >= 4) raw.writeFloatLE(draw.pick([NaN, Infinity, 3e38, -0]), 4 * draw.below(raw.length / 4))
    tensor.rawData = raw
  },
  'images of another size': ({ graph }, draw) => {
    const { value } = graph!.input[0].type!
    if (value.case === 'tensorType') {
      draw.pick(value.value.shape!.dim).value = { case: 'dimValue', value: draw.pick(numbers) }
    }
  },
  opset: ({ opsetImport }, draw) => opsetImport[0].version = draw.pick(numbers),
  bomb: ({ graph }, draw) => {
    const size = draw.pick([2n ** 20n, 2n ** 26n, 2n ** 30n]), [first] = graph!.node
    const bytes = Buffer.alloc(16)
    bytes.writeBigInt64LE(size, 0)
    bytes.writeBigInt64LE(size, 8)
    graph!.initializer.push(
      create(TensorProtoSchema, { name: 'big', dims: [2n], dataType: Type.INT64, rawData: bytes }),
    )
    graph!.node.unshift(create(NodeProtoSchema, { opType: 'ConstantOfShape', input: ['big'], output: ['zeros'] }))
    first.input[0] = 'zeros'
  },
  'many nodes': ({ graph }, draw) => {
    const count = draw.pick([1000, 40_000]), [input] = graph!.input
    let last = input.name
    const chain = Array.from({ length: count }, (_, i) => {
      const node = create(NodeProtoSchema, { opType: 'Relu', input: [last], output: [last = `relu${i}`] })
      return node
    })
    for (const node of graph!.node) node.input = node.input.map((name) => name === input.name ? last : name)
    graph!.node.unshift(...chain)
  },
  branch: ({ graph }, draw) =>
    draw.pick(graph!.node).attribute.push(
      create(AttributeProtoSchema, { name: 'body', type: Kind.GRAPH, g: create(GraphProtoSchema) }),
    ),
  'weights elsewhere': ({ graph }, draw) => {
    const tensor = draw.pick(graph!.initializer)
    const entries = [
      ['location', draw.pick(['a.png', '../a.png', '/dev/zero', 'gone', '.', '', 'ten.bin', '\u0000'])],
      ['offset', draw.pick(['0', '-1', '1e9', '99999999', 'x'])],
      ['length', draw.pick(['0', '4', String(tensor.rawData.length), '999999999999'])],
    ].slice(0, 1 + draw.below(3))
    tensor.dataLocation = Location.EXTERNAL
    tensor.externalData = entries.map(([key, value]) => create(StringStringEntryProtoSchema, { key, value }))
  },
}

/** A damaged ONNX file: of its bytes, or of its graph, with our record or without. */
export function onnxCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `onnx ${i}`), [what, bytes] = damaged(Buffer.from(material.onnx), draw)
  return {
    kind: 'onnx',
    name: `${i} ${what}`,
    files: { ...material.base, 'net.onnx': bytes },
    codes: what === 'random bytes' ? [2] : [0, 1, 2],
    ...commandOn(draw),
  }
}

function damaged(file: Buffer, draw: Draw): [string, Uint8Array] {
  if (draw.chance(0.1)) return ['cut', file.subarray(0, draw.below(file.length))]
  if (draw.chance(0.15)) {
    for (let flips = 1 + draw.below(8); flips > 0; flips--) file[draw.below(file.length)] ^= 1 << draw.below(8)
    return ['bits', file]
  }
  if (draw.chance(0.05)) return ['random bytes', draw.bytes(1 + draw.below(5000))]
  const model = fromBinary(ModelProtoSchema, file), what = draw.pick(Object.keys(changes))
  if (draw.chance(0.5)) model.metadataProps = []
  changes[what](model, draw)
  return [what, toBinary(ModelProtoSchema, model)]
}

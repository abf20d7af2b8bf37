// The bytes of an ONNX file as a checked graph: sizes fit bytes, every value is made before it is read. What the
// operators do is for others.
import { fromBinary } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Kind, type AttributeProto, type GraphProto, type ModelProto, ModelProtoSchema,
  type NodeProto, TensorProto_DataType as Type, type ValueInfoProto } from 'onnx-buf'
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import type { OnnxAttribute, OnnxSize, OnnxValue } from '../core/onnx-form.ts'
import type { OnnxNode } from './encode.ts'
import { type Beside, checkExternal, externalFiles } from './external.ts'
import { scanOnnx } from './scan.ts'
import { type DecodedTensor, MOST_RANK, tensorOf, whole } from './tensors.ts'

/** Opsets whose operators mean what is read here. */
const opsets = [9, 22] as const
/** More nodes than any network has: a Swin-B has 5,000. */
const MOST_NODES = 2 ** 15

/** A node; `tensor` is an attribute that is one (the value of a Constant). */
export interface DecodedNode extends OnnxNode {
  tensors: ReadonlyMap<string, DecodedTensor>
}

/** A file, whose nodes are in an order in which they can run. */
export interface DecodedOnnx {
  opset: number
  producer: string
  nodes: DecodedNode[]
  tensors: DecodedTensor[]
  inputs: OnnxValue[]
  outputs: OnnxValue[]
  metadata: Record<string, string>
}

/** A file whose tensors are not read yet. */
export interface OpenedOnnx {
  /** Files beside it in which tensors lie: names in its folder, or below it. */
  files: readonly string[]
  /** Its graph, given those files. @throws InputError, one sentence. */
  decode(beside: Beside): DecodedOnnx
}

/** A file whose tensors all lie in it. @throws InputError, one sentence, for what is no ONNX file, or a damaged one. */
export const decodeOnnx = (bytes: Uint8Array): DecodedOnnx => openOnnx(bytes).decode(new Map())

/** A look at a file: what it is, and where its tensors lie. @throws InputError, one sentence. */
export function openOnnx(bytes: Uint8Array): OpenedOnnx {
  scanOnnx(bytes)
  let model: ModelProto
  try {
    model = fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false })
  } catch (error) {
    throw new InputError(`it cannot be read (${(error as Error).message}); it is truncated or no ONNX file`, {
      cause: error,
    })
  }
  const { graph } = model
  if (!graph?.node.length) throw new InputError('it has no nodes, expected a network; it is truncated or no ONNX file')
  if (graph.node.length > MOST_NODES) {
    throw new InputError(`it has ${graph.node.length} nodes, expected at most ${MOST_NODES}; it is damaged`)
  }
  const opset = opsetOf(model), { files, taken } = externalFiles(graph)
  return {
    files,
    decode(beside) {
      checkExternal(taken, beside)
      return decoded(model, graph, opset, beside)
    },
  }
}

function decoded(model: ModelProto, graph: GraphProto, opset: number, beside: Beside): DecodedOnnx {
  if (graph.sparseInitializer.length) {
    throw new InputError('it has sparse initializers, expected dense ones; save the network with dense weights')
  }
  const tensors = graph.initializer.map((each) => tensorOf(each, each.name, beside))
  const known = new Set(tensors.map(({ name }) => name))
  const inputs = graph.input.filter(({ name }) => !known.has(name)).map(valueOf)
  const nodes = graph.node.map((node) => nodeOf(node, beside))
  checkOrder(nodes, [...inputs, ...tensors].map(({ name }) => name), graph)
  return {
    opset,
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' '),
    nodes,
    tensors,
    inputs,
    outputs: graph.output.map(valueOf),
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
  }
}

function opsetOf({ opsetImport, graph }: ModelProto): number {
  const foreign = graph!.node.find(({ domain }) => domain !== '' && domain !== 'ai.onnx')
  if (foreign) {
    throw new InputError(
      `node ${quoted(foreign.name)}: operator ${quoted(foreign.opType)} is of domain ${
        quoted(foreign.domain)
      }, expected `
        + 'operators of ONNX itself; export the network without optimising it for a runtime',
    )
  }
  const own = opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')
  const opset = Number(own?.version ?? 0n), [least, most] = opsets
  if (opset >= least && opset <= most) return opset
  throw new InputError(
    `its opset is ${own ? opset : 'not named'}, expected ${least} to ${most}; export it with opset_version=17`,
  )
}

/** Every value has one maker, which stands before its readers: then there is no circle. @throws InputError */
function checkOrder(nodes: readonly DecodedNode[], given: readonly string[], { output }: GraphProto): void {
  const made = new Set<string>()
  const make = (name: string) => {
    if (made.has(name)) throw new InputError(`the value ${quoted(name)} is made twice, expected once; it is damaged`)
    made.add(name)
  }
  for (const name of given) make(name)
  for (const { name, type, inputs, outputs } of nodes) {
    const missing = inputs.find((input) => input !== '' && !made.has(input))
    if (missing !== undefined) {
      throw new InputError(
        `node ${quoted(name || type)} reads ${quoted(missing)}, which nothing before it makes; expected nodes in the `
          + 'order in which they run, and no circle',
      )
    }
    for (const output of outputs) if (output !== '') make(output)
  }
  const lost = output.find(({ name }) => !made.has(name))
  if (lost) throw new InputError(`nothing makes its output ${quoted(lost.name)}; it is damaged`)
}

function nodeOf({ name, opType, input, output, attribute }: NodeProto, beside: Beside): DecodedNode {
  const attributes: Record<string, OnnxAttribute> = {}, tensors = new Map<string, DecodedTensor>()
  for (const each of attribute) {
    const where = `node ${quoted(name || opType)}: attribute ${quoted(each.name)}`
    if (Object.hasOwn(attributes, each.name) || tensors.has(each.name)) {
      throw new InputError(`${where} stands there twice; it is damaged`)
    }
    if (each.type === Kind.TENSOR && each.t) {
      tensors.set(each.name, tensorOf(each.t, `${name || opType}.${each.name}`, beside))
    } else Object.defineProperty(attributes, each.name, { value: attributeOf(each, where), enumerable: true })
  }
  return { type: opType, name, inputs: input, outputs: output, attributes, tensors }
}

function attributeOf(each: AttributeProto, where: string): OnnxAttribute {
  switch (each.type) {
    case Kind.INT:
      return whole(each.i, where)
    case Kind.INTS:
      return each.ints.map((n) => whole(n, where))
    case Kind.FLOAT:
      return { float: each.f }
    case Kind.STRING:
      return new TextDecoder().decode(each.s)
    case Kind.FLOATS:
      return { floats: each.floats } as unknown as OnnxAttribute
    default:
      throw new InputError(
        `${where} is a ${
          Kind[each.type]?.toLowerCase() ?? 'value of no known type'
        }, expected numbers, text or a tensor; `
          + 'networks with branches or loops are not read',
      )
  }
}

function valueOf({ name, type }: ValueInfoProto): OnnxValue {
  if (type?.value.case !== 'tensorType' || ![Type.FLOAT, Type.INT64].includes(type.value.value.elemType)) {
    throw new InputError(`${quoted(name)} is no tensor of floats, expected images in and logits out, both float`)
  }
  const dims = type.value.value.shape?.dim ?? []
  if (dims.length > MOST_RANK) {
    throw new InputError(`${quoted(name)} has ${dims.length} axes, expected at most ${MOST_RANK}`)
  }
  return { name, shape: dims.map(({ value }) => sizeIn(value, name)) }
}

function sizeIn(value: { case?: string, value?: unknown }, name: string): OnnxSize {
  if (value.case !== 'dimValue') {
    const factor = /^(\d{1,6}) batch$/.exec(typeof value.value === 'string' ? value.value : '')
    return { batch: factor ? Number(factor[1]) : 1 }
  }
  const size = value.value as bigint
  if (size < 1n || size > 2n ** 24n) {
    throw new InputError(`${quoted(name)} has a size of ${size}, expected 1 to ${2 ** 24}; it is damaged`)
  }
  return Number(size)
}

// The bytes of an ONNX file as a checked graph: sizes fit bytes, every value is made before it is read, nothing lies in
// other files. What the operators do is for others.
import { fromBinary } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Kind, type AttributeProto, type GraphProto, type ModelProto, ModelProtoSchema,
  type NodeProto, TensorProto_DataLocation as Location, TensorProto_DataType as Type, type TensorProto,
  type ValueInfoProto } from 'onnx-buf'
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { sizeOf } from '../base/shape.ts'
import type { OnnxAttribute, OnnxSize, OnnxValue } from '../core/onnx-form.ts'
import { bfloatToFloat, halfToFloat } from '../files/half.ts'
import type { OnnxNode, OnnxTensor } from './encode.ts'
import { scanOnnx } from './scan.ts'

/** Opsets whose operators mean what is read here. */
const opsets = [9, 22] as const
/** More elements than a tensor of any network has. */
const MOST = 2 ** 31
const MOST_RANK = 8
/** More nodes than any network has: a Swin-B has 5,000. */
const MOST_NODES = 2 ** 15

/** A tensor of a file, as numbers: floats of any width as float32, other numbers as they are. */
export interface DecodedTensor extends OnnxTensor {
  /** Float32 of floats, whole numbers of the rest (truth values are 0 and 1). */
  values: Float32Array | number[]
}

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

/** @throws InputError, one sentence, for what is no ONNX file, or a damaged one. */
export function decodeOnnx(bytes: Uint8Array): DecodedOnnx {
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
  const opset = opsetOf(model)
  if (graph.sparseInitializer.length) {
    throw new InputError('it has sparse initializers, expected dense ones; save the network with dense weights')
  }
  const tensors = graph.initializer.map((each) => tensorOf(each, each.name))
  const known = new Set(tensors.map(({ name }) => name))
  const inputs = graph.input.filter(({ name }) => !known.has(name)).map(valueOf)
  const nodes = graph.node.map(nodeOf)
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

function nodeOf({ name, opType, input, output, attribute }: NodeProto): DecodedNode {
  const attributes: Record<string, OnnxAttribute> = {}, tensors = new Map<string, DecodedTensor>()
  for (const each of attribute) {
    const where = `node ${quoted(name || opType)}: attribute ${quoted(each.name)}`
    if (Object.hasOwn(attributes, each.name) || tensors.has(each.name)) {
      throw new InputError(`${where} stands there twice; it is damaged`)
    }
    if (each.type === Kind.TENSOR && each.t) tensors.set(each.name, tensorOf(each.t, `${name || opType}.${each.name}`))
    else Object.defineProperty(attributes, each.name, { value: attributeOf(each, where), enumerable: true })
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

/** Ends of slices stand for "to the end" at 2^63 - 1: they become the largest whole number. */
function whole(value: bigint, where: string): number {
  if (value > 2n ** 62n) return Number.MAX_SAFE_INTEGER
  if (value < -(2n ** 62n)) return -Number.MAX_SAFE_INTEGER
  if (value > 2n ** 53n || value < -(2n ** 53n)) {
    throw new InputError(`${where} holds ${value}, expected a whole number below 2^53; it is damaged`)
  }
  return Number(value)
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

const bytesOf: Readonly<Partial<Record<Type, number>>> = {
  [Type.FLOAT]: 4,
  [Type.FLOAT16]: 2,
  [Type.BFLOAT16]: 2,
  [Type.DOUBLE]: 8,
  [Type.INT64]: 8,
  [Type.INT32]: 4,
  [Type.INT8]: 1,
  [Type.UINT8]: 1,
  [Type.BOOL]: 1,
}

function tensorOf(each: TensorProto, name: string): DecodedTensor {
  const where = `tensor ${quoted(name)}`
  if (each.dataLocation === Location.EXTERNAL || each.externalData.length) {
    const file = each.externalData.find(({ key }) => key === 'location')?.value ?? ''
    throw new InputError(
      `${where} lies in another file, ${quoted(file, 80)}, expected all weights in this one; save it in one file `
        + '(onnx.save_model with save_as_external_data=False)',
    )
  }
  const shape = each.dims.map(Number), width = bytesOf[each.dataType as Type]
  if (shape.length > MOST_RANK || shape.some((n) => !(n >= 0 && n < MOST)) || sizeOf(shape) >= MOST) {
    throw new InputError(
      `${where} has the shape [${each.dims.slice(0, 12)}], expected less than 2^31 elements; it is damaged`,
    )
  }
  if (width === undefined) {
    throw new InputError(
      `${where} is of type ${
        Type[each.dataType] ?? each.dataType
      }, expected floats or whole numbers; quantised networks `
        + 'must be converted first',
    )
  }
  const size = sizeOf(shape), raw = each.rawData
  const listed = each.floatData.length || each.int32Data.length || each.int64Data.length || each.doubleData.length
  if (raw.length ? raw.length !== size * width : listed !== size) {
    throw new InputError(
      `${where} [${shape}] takes ${size * width} bytes and has ${
        raw.length || listed * width
      }; it is truncated or damaged`,
    )
  }
  const values = raw.length ? fromRaw(each.dataType, raw) : fromLists(each)
  const at = values instanceof Float32Array ? values.findIndex((value) => !Number.isFinite(value)) : -1
  if (at >= 0 && size > 1) {
    throw new InputError(`${where} holds ${values[at]} at entry ${at}, expected finite numbers; its training diverged`)
  }
  return { name, shape, values, data: stored(each.dataType, values, raw) }
}

/** As our exporter gave it, for its fingerprint. */
function stored(type: Type, values: Float32Array | number[], raw: Uint8Array): OnnxTensor['data'] {
  if (type === Type.FLOAT16) return new Uint16Array(new Uint8Array(raw).buffer)
  if (values instanceof Float32Array) return values
  return BigInt64Array.from(values, (value) => BigInt(Math.trunc(value)))
}

function fromRaw(type: Type, raw: Uint8Array): Float32Array | number[] {
  const { buffer } = new Uint8Array(raw) // aligned; the slice of a Buffer would be a view
  switch (type) {
    case Type.FLOAT:
      return new Float32Array(buffer)
    case Type.DOUBLE:
      return Float32Array.from(new Float64Array(buffer))
    case Type.FLOAT16:
      return halfToFloat(new Uint16Array(buffer))
    case Type.BFLOAT16:
      return bfloatToFloat(new Uint16Array(buffer))
    case Type.INT64:
      return Array.from(new BigInt64Array(buffer), (value) => whole(value, 'a tensor of whole numbers'))
    case Type.INT32:
      return [...new Int32Array(buffer)]
    case Type.INT8:
      return [...new Int8Array(buffer)]
    default:
      return [...new Uint8Array(buffer)]
  }
}

function fromLists({ dataType, floatData, int32Data, int64Data, doubleData }: TensorProto): Float32Array | number[] {
  if (dataType === Type.FLOAT) return Float32Array.from(floatData)
  if (dataType === Type.DOUBLE) return Float32Array.from(doubleData)
  if (dataType === Type.FLOAT16) return halfToFloat(Uint16Array.from(int32Data))
  if (dataType === Type.BFLOAT16) return bfloatToFloat(Uint16Array.from(int32Data))
  return dataType === Type.INT64 ? int64Data.map((value) => whole(value, 'a tensor of whole numbers')) : [...int32Data]
}

// A graph as the bytes of an ONNX file, for the widest use: IR version 8, opset 17, one output.
import { create, toBinary } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Kind, AttributeProtoSchema, GraphProtoSchema, ModelProtoSchema,
  NodeProtoSchema, OperatorSetIdProtoSchema, StringStringEntryProtoSchema, TensorProto_DataType as Type,
  TensorProtoSchema, TensorShapeProto_DimensionSchema, TensorShapeProtoSchema, TypeProto_TensorSchema, TypeProtoSchema,
  ValueInfoProtoSchema } from 'onnx-buf'
import { InputError } from '../base/errors.ts'
import { version } from '../base/version.ts'
import type { OnnxAttribute, OnnxSize, OnnxValue } from '../core/onnx-form.ts'

/** Versions of the format that are written. */
export const irVersion = 8, opset = 17

/** The name of the open size. */
export const batchName = 'batch'

/** Protobuf's own limit: lengths are 31 bits. */
const LARGEST = 2 ** 31 - 1

/** A node: operator, names of inputs ('' is one left out) and outputs, attributes. */
export interface OnnxNode {
  type: string
  name?: string
  inputs: readonly string[]
  outputs: readonly string[]
  attributes?: Readonly<Record<string, OnnxAttribute>>
}

/** A tensor that is part of the file: floats, halves (as 16-bit words), or whole numbers. */
export interface OnnxTensor {
  name: string
  shape: readonly number[]
  data: Float32Array | Uint16Array | BigInt64Array
}

/** All of a file. */
export interface OnnxModel {
  nodes: readonly OnnxNode[]
  tensors: readonly OnnxTensor[]
  inputs: readonly OnnxValue[]
  output: OnnxValue
  metadata?: Readonly<Record<string, string>>
}

/** The bytes of a model. @throws InputError where they would be more than the format can hold. */
export function encodeOnnx({ nodes, tensors, inputs, output, metadata = {} }: OnnxModel): Uint8Array<ArrayBuffer> {
  const content = tensors.reduce((sum, { data }) => sum + data.byteLength, 0)
  if (content > LARGEST - 2 ** 24) {
    throw new InputError(
      `its weights take ${content} bytes, an ONNX file holds fewer than 2^31; cut the network first, or save it in `
        + 'half precision',
    )
  }
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: BigInt(irVersion),
      opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opset) })],
      producerName: 'espalier',
      producerVersion: version,
      graph: create(GraphProtoSchema, {
        name: 'espalier',
        node: nodes.map(nodeProto),
        initializer: tensors.map(tensorProto),
        input: inputs.map(valueProto),
        output: [valueProto(output)],
      }),
      metadataProps: Object.entries(metadata).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value })
      ),
    }),
  )
}

function nodeProto({ type, name = '', inputs, outputs, attributes = {} }: OnnxNode) {
  return create(NodeProtoSchema, {
    opType: type,
    name,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([key, value]) => attributeProto(key, value)),
  })
}

function attributeProto(name: string, value: OnnxAttribute) {
  if (typeof value === 'number') return create(AttributeProtoSchema, { name, type: Kind.INT, i: BigInt(value) })
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, { name, type: Kind.STRING, s: new TextEncoder().encode(value) })
  }
  if ('float' in value) return create(AttributeProtoSchema, { name, type: Kind.FLOAT, f: value.float })
  return create(AttributeProtoSchema, { name, type: Kind.INTS, ints: value.map(BigInt) })
}

function tensorProto({ name, shape, data }: OnnxTensor) {
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: data instanceof Float32Array ? Type.FLOAT : data instanceof Uint16Array ? Type.FLOAT16 : Type.INT64,
    rawData: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
  })
}

function valueProto({ name, shape }: OnnxValue) {
  const dim = shape.map((size) => create(TensorShapeProto_DimensionSchema, { value: sizeProto(size) }))
  const tensor = create(TypeProto_TensorSchema, {
    elemType: Type.FLOAT,
    shape: create(TensorShapeProtoSchema, { dim }),
  })
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }),
  })
}

const sizeProto = (size: OnnxSize) =>
  typeof size === 'number'
    ? { case: 'dimValue' as const, value: BigInt(size) }
    : { case: 'dimParam' as const, value: size.batch === 1 ? batchName : `${size.batch} ${batchName}` }

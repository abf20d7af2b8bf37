// Just enough of ONNX's protobuf to hand a graph to a runtime: nodes, tensors that are part of it, inputs, one output.

/** A node's attribute: whole numbers, or `{ float }`, since 1 may be either. */
export type OnnxAttribute = number | number[] | { float: number }

/** A node: operator, names of inputs and outputs, attributes. */
export interface OnnxNode {
  type: string
  inputs: string[]
  output: string | string[]
  attributes?: Record<string, OnnxAttribute>
}

/** A tensor that is part of the model: floats, or whole numbers (shapes). */
export interface OnnxTensor {
  name: string
  shape: readonly number[]
  data: Float32Array | BigInt64Array
}

/** Name and shape of an input or output. */
export interface OnnxValue {
  name: string
  shape: readonly number[]
}

/** The bytes of a model (opset 17) whose only output is `output`; `inputs` are fed at every run. */
export function onnxModel(
  nodes: OnnxNode[],
  tensors: OnnxTensor[],
  output: OnnxValue,
  inputs: OnnxValue[] = [],
): Uint8Array {
  const graph = join(
    ...nodes.map((node) => message(1, nodeMessage(node))),
    text(2, 'graph'),
    ...tensors.map(({ name, shape, data }) =>
      message(
        5,
        join(
          ...shape.map((n) => number(1, n)),
          number(2, data instanceof Float32Array ? 1 : 7),
          text(8, name),
          message(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
        ),
      )
    ),
    ...inputs.map((input) => message(11, valueInfo(input))),
    message(12, valueInfo(output)),
  )
  return join(number(1, 8), message(7, graph), message(8, join(text(1, ''), number(2, 17))))
}

function nodeMessage({ type, inputs, output, attributes = {} }: OnnxNode): Uint8Array {
  const outputs = [output].flat()
  return join(
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(3, outputs[0]),
    text(4, type),
    ...Object.entries(attributes).map(([name, value]) => message(5, join(text(1, name), attribute(value)))),
  )
}

function attribute(value: OnnxAttribute): Uint8Array {
  if (Array.isArray(value)) return join(...value.map((n) => number(8, n)), number(20, 7)) // INTS
  if (typeof value === 'number') return join(number(3, value), number(20, 2)) // INT
  return join(varint(2 * 8 + 5), new Uint8Array(Float32Array.of(value.float).buffer), number(20, 1)) // FLOAT
}

function valueInfo({ name, shape }: OnnxValue): Uint8Array {
  const dims = join(...shape.map((n) => message(1, number(1, n))))
  return join(text(1, name), message(2, message(1, join(number(1, 1), message(2, dims)))))
}
const text = (field: number, value: string) => message(field, new TextEncoder().encode(value))
const number = (field: number, value: number) => join(varint(field * 8), varint(value))
const message = (field: number, bytes: Uint8Array) => join(varint(field * 8 + 2), varint(bytes.length), bytes)

/** A whole number in groups of seven bits, lowest first; negative ones as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, BigInt(value));;) {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest ? low | 128 : low)
    if (!rest) return Uint8Array.from(bytes)
  }
}

function join(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

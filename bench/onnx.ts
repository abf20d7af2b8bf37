// Just enough of ONNX's protobuf to hand a small graph of constants to a runtime: nodes, float tensors, one output.

/** A node: operator, names of inputs, name of its output, attributes that are whole numbers or lists of them. */
export interface OnnxNode { type: string, inputs: string[], output: string, attributes?: Record<string, number | number[]> }

/** A float tensor that is part of the model. */
export interface OnnxTensor { name: string, shape: readonly number[], data: Float32Array }

/** The bytes of a model (opset 17) whose only output is `output`, of this shape. */
export function onnxModel(nodes: OnnxNode[], tensors: OnnxTensor[], output: { name: string, shape: readonly number[] }): Uint8Array {
  const graph = join(
    ...nodes.map((node) => message(1, nodeMessage(node))),
    text(2, 'graph'),
    ...tensors.map(({ name, shape, data }) => message(5, join(
      ...shape.map((n) => number(1, n)), number(2, 1), text(8, name), message(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))))),
    message(12, valueInfo(output)))
  return join(number(1, 8), message(7, graph), message(8, join(text(1, ''), number(2, 17))))
}

function nodeMessage({ type, inputs, output, attributes = {} }: OnnxNode): Uint8Array {
  return join(...inputs.map((name) => text(1, name)), text(2, output), text(3, output), text(4, type),
    ...Object.entries(attributes).map(([name, value]) => message(5, Array.isArray(value)
      ? join(text(1, name), ...value.map((n) => number(8, n)), number(20, 7))          // INTS
      : join(text(1, name), number(3, value), number(20, 2)))))                        // INT
}

function valueInfo({ name, shape }: { name: string, shape: readonly number[] }): Uint8Array {
  const dims = join(...shape.map((n) => message(1, number(1, n))))
  return join(text(1, name), message(2, message(1, join(number(1, 1), message(2, dims)))))
}

const text = (field: number, value: string) => message(field, new TextEncoder().encode(value))
const number = (field: number, value: number) => join(varint(field * 8), varint(value))
const message = (field: number, bytes: Uint8Array) => join(varint(field * 8 + 2), varint(bytes.length), bytes)

/** A whole number in groups of seven bits, lowest first; negative ones as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, BigInt(value)); ;) {
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

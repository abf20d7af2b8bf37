// Whether a graph is still the one that was written: a digest of its nodes and constants, the weights apart, which may
// have been trained elsewhere.
import { sha256 } from '../base/sha256.ts'
import type { OnnxAttribute, OnnxValue } from '../core/onnx-form.ts'
import type { OnnxModel } from './encode.ts'

/** SHA-256 in hexadecimal of all but the values of weights (tensors whose name does not begin with '/'). */
export async function fingerprint({ nodes, tensors, inputs, output }: OnnxModel): Promise<string> {
  const told = [
    nodes.map(({ type, inputs, outputs, attributes = {} }) => [
      type,
      inputs,
      outputs,
      Object.entries(attributes).map(([key, value]) => [key, plainly(value)]).sort(([a], [b]) =>
        String(a) < String(b) ? -1 : 1
      ),
    ]),
    await Promise.all(
      tensors.map(async ({ name, shape, data }) => [name, shape, name.startsWith('/') ? await sha256(data) : '']),
    ),
    [...inputs, output].map(valueText),
  ]
  return sha256(new TextEncoder().encode(JSON.stringify(told)))
}

const valueText = (
  { name, shape }: OnnxValue,
) => [name, shape.map((n) => typeof n === 'number' ? n : `${n.batch} batch`)]

/** Files hold floats of 32 bits. */
const plainly = (value: OnnxAttribute): unknown =>
  typeof value === 'object' && 'float' in value ? { float: Math.fround(value.float) } : value

// Tensors of an ONNX file as numbers: of any width, listed or raw, in the file or in one beside it.
import { TensorProto_DataType as Type, type TensorProto } from 'onnx-buf'
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { sizeOf } from '../base/shape.ts'
import { bfloatToFloat, halfToFloat } from '../files/half.ts'
import type { OnnxTensor } from './encode.ts'
import { type Beside, externalBytes, isExternal } from './external.ts'

/** More elements than a tensor of any network has. */
const MOST = 2 ** 31
/** More axes than a tensor of any network has. */
export const MOST_RANK = 8

/** A tensor of a file, as numbers: floats of any width as float32, other numbers as they are. */
export interface DecodedTensor extends OnnxTensor {
  /** Float32 of floats, whole numbers of the rest (truth values are 0 and 1). */
  values: Float32Array | number[]
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

/** A tensor's numbers, which may lie in one of the files `beside`. @throws InputError, one sentence. */
export function tensorOf(each: TensorProto, name: string, beside: Beside): DecodedTensor {
  const where = `tensor ${quoted(name)}`
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
  const size = sizeOf(shape), raw = isExternal(each) ? externalBytes(each, where, size * width, beside) : each.rawData
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

/** Ends of slices stand for "to the end" at 2^63 - 1: they become the largest whole number. */
export function whole(value: bigint, where: string): number {
  if (value > 2n ** 62n) return Number.MAX_SAFE_INTEGER
  if (value < -(2n ** 62n)) return -Number.MAX_SAFE_INTEGER
  if (value > 2n ** 53n || value < -(2n ** 53n)) {
    throw new InputError(`${where} holds ${value}, expected a whole number below 2^53; it is damaged`)
  }
  return Number(value)
}

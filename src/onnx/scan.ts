// A look at the bytes of a protobuf file before they are decoded: decoding makes an object of two bytes, so a small
// file could fill the memory. Counts fields and depth along the messages that ONNX has.
import { InputError } from '../base/errors.ts'

/** More fields than any network has: a Swin-B has 50,000. */
const MOST_FIELDS = 2 ** 20
/** Bytes of numbers that are stored one by one and not raw: they become eight times as large. */
const MOST_LISTED = 2 ** 24
const DEEPEST = 16

type Kind = 'model' | 'graph' | 'node' | 'attribute' | 'tensor' | 'value' | 'other'

/** Which field of which message is a message. */
const messages: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 7: 'graph', 8: 'other', 14: 'other', 20: 'other', 25: 'other' },
  graph: { 1: 'node', 5: 'tensor', 11: 'value', 12: 'value', 13: 'value', 14: 'other', 15: 'other', 16: 'other' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph' },
  tensor: { 13: 'other' },
  value: { 2: 'other' },
  other: {},
}
/** Numbers of a tensor or attribute that are listed: float_data, int32_data, int64_data, double_data, uint64_data. */
const listed: Readonly<Partial<Record<Kind, readonly number[]>>> = { tensor: [4, 5, 7, 10, 11], attribute: [7, 8] }

/** @throws InputError for bytes that are no protobuf message, or one that would not stay small when decoded. */
export function scanOnnx(bytes: Uint8Array): void {
  let fields = 0, lists = 0
  const damaged = (at: number) => new InputError(`it cannot be read at byte ${at}; it is truncated or no ONNX file`)
  const walk = (from: number, to: number, kind: Kind, depth: number) => {
    if (depth > DEEPEST) {
      throw new InputError(`it has messages ${depth} deep, expected at most ${DEEPEST}; it is damaged`)
    }
    let at = from
    const varint = (): number => {
      let value = 0
      for (let shift = 0, start = at;; shift += 7) {
        if (at >= to || shift > 63) throw damaged(start)
        const byte = bytes[at++]
        value += (byte & 127) * 2 ** shift
        if (byte < 128) return value
      }
    }
    while (at < to) {
      const start = at, tag = varint(), field = Math.floor(tag / 8), wire = tag % 8
      if (++fields > MOST_FIELDS) {
        throw new InputError(`it has more than ${MOST_FIELDS} fields, expected a network's graph; it is damaged`)
      }
      if (wire === 0) varint()
      else if (wire === 1) at += 8
      else if (wire === 5) at += 4
      else if (wire === 2) {
        const length = varint()
        if (length > to - at) throw damaged(start)
        if (listed[kind]?.includes(field) && (lists += length) > MOST_LISTED) {
          throw new InputError(
            `it lists more than ${MOST_LISTED} bytes of numbers one by one, expected raw bytes; save it `
              + 'with onnx.numpy_helper',
          )
        }
        const inner = messages[kind][field] as Kind | undefined
        // Texts with a key, and types: small, so that every eight bytes of them may be a field.
        if (inner === 'other') fields += Math.ceil(length / 8)
        else if (inner !== undefined) walk(at, at + length, inner, depth + 1)
        at += length
      } else throw damaged(start)
      if (field === 0 || at > to) throw damaged(start)
    }
  }
  walk(0, bytes.length, 'model', 0)
}

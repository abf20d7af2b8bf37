// Which files hold the weights of an ONNX file beside it, found without reading them or it as a whole: fields are
// walked over on the disk, tensors are jumped across. Whether the file is sound is for those who read it. Node only.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isOnnx } from './formats.ts'

type Kind = 'model' | 'graph' | 'node' | 'attribute' | 'tensor' | 'sparse'

/** Which fields of which message lead to tensors. */
const ways: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 7: 'graph' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
}
const EXTERNAL_DATA = 13, DEEPEST = 16, LONGEST_ENTRY = 8192, BLOCK = 65536

/** Paths of the files that the tensors of an ONNX file lie in; none for any other file, or where none is. */
export function onnxDataFiles(path: string): string[] {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return [] // no file; whoever opens it says why
  }
  try {
    const info = fstatSync(file), bytes = new Bytes(file)
    if (!info.isFile() || !isOnnx(bytes.slice(0, Math.min(16, info.size)), path, info.size)) return []
    const found = new Set<string>()
    walk(bytes, 0, info.size, 'model', found, 0)
    return [...found].map((name) => join(dirname(path), name))
  } catch {
    return [] // damaged, which reading it says
  } finally {
    closeSync(file)
  }
}

/** Bytes of a file, a block of which is kept. */
class Bytes {
  private readonly file: number
  private readonly block = Buffer.alloc(BLOCK)
  private start = 0
  private length = 0

  constructor(file: number) {
    this.file = file
  }

  at(position: number): number {
    if (position < this.start || position >= this.start + this.length) {
      this.start = position
      this.length = readSync(this.file, this.block, 0, BLOCK, position)
      if (!this.length) throw new RangeError('the end of the file')
    }
    return this.block[position - this.start]
  }

  slice(from: number, to: number): Uint8Array {
    return Uint8Array.from({ length: to - from }, (_, i) => this.at(from + i))
  }
}

function walk(bytes: Bytes, from: number, to: number, kind: Kind, found: Set<string>, depth: number): void {
  for (const { field, start, end } of fields(bytes, from, to)) {
    const inner = ways[kind][field] as Kind | undefined
    if (inner && depth < DEEPEST) walk(bytes, start, end, inner, found, depth + 1)
    else if (kind === 'tensor' && field === EXTERNAL_DATA && end - start <= LONGEST_ENTRY) {
      const text = new Map<number, string>()
      for (const part of fields(bytes, start, end)) {
        text.set(part.field, new TextDecoder().decode(bytes.slice(part.start, part.end)))
      }
      const name = text.get(1) === 'location' && text.get(2)
      if (name) found.add(name)
    }
  }
}

/** Fields of a message that have a length, with where their content lies. */
function* fields(bytes: Bytes, from: number, to: number): Generator<{ field: number, start: number, end: number }> {
  let at = from
  const varint = () => {
    for (let value = 0, by = 1;; by *= 128) {
      const byte = bytes.at(at++)
      value += (byte & 127) * by
      if (byte < 128) return value
      if (by > 2 ** 53) throw new RangeError('no number')
    }
  }
  while (at < to) {
    const tag = varint(), wire = tag % 8
    if (wire === 0) varint()
    else if (wire === 1) at += 8
    else if (wire === 5) at += 4
    else if (wire === 2) {
      const length = varint(), start = at
      at += length
      if (at > to) throw new RangeError('longer than what holds it')
      yield { field: Math.floor(tag / 8), start, end: at }
    } else throw new RangeError('no field')
  }
}

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { bfloatToFloat, floatToHalf, halfToFloat } from '../../src/files/half.ts'
import { encodeSafetensors, parseSafetensors } from '../../src/files/safetensors.ts'
import { lacking, shared } from '../support/files.ts'

describe('halves', () => {
  it('every half survives the way through float32', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i), back = floatToHalf(halfToFloat(all))
    for (let h = 0; h < 65536; h++) {
      const isNaN16 = (h & 0x7c00) === 0x7c00 && (h & 0x3ff) !== 0
      if (!isNaN16) expect(back[h]).toBe(h)
    }
  })

  it('rounds to nearest, ties to even', () => {
    const half = (x: number) => halfToFloat(floatToHalf(Float32Array.of(x)))[0]
    expect(half(1 + 2 ** -11)).toBe(1) // exactly between 1 and 1 + 2^-10
    expect(half(1 + 3 * 2 ** -11)).toBe(1 + 2 ** -9)
    expect(half(1 + 2 ** -11 + 2 ** -20)).toBe(1 + 2 ** -10)
    expect(half(2 ** -25)).toBe(0)
    expect(half(3 * 2 ** -25)).toBe(2 ** -23)
    expect(half(65519)).toBe(65504)
    expect(half(65520)).toBe(Infinity)
    expect(half(-0.1)).toBeCloseTo(-0.1, 4)
    expect([...bfloatToFloat(Uint16Array.of(0x3f80, 0xc040))]).toEqual([1, -3])
  })
})

describe('safetensors', () => {
  const floats = Float32Array.of(1, -2, 3.5, 0, 1e-3, 7), labels = Int32Array.of(1, 2, 3)

  it('writes and reads back every type, metadata and order', () => {
    const file = encodeSafetensors([
      ['count', { shape: [], data: BigInt64Array.of(7n) }],
      ['w', { shape: [2, 3], data: floats }],
      ['labels', { shape: [3], data: labels }],
      ['u', { shape: [3], data: Uint8Array.of(0, 128, 255) }],
      ['i', { shape: [1], data: Int8Array.of(-5) }],
    ], { metadata: { note: 'ä "quoted"', espalier: '{}' } })
    const headerLength = new DataView(file.buffer).getUint32(0, true)
    expect(headerLength % 8).toBe(0)
    const { metadata, tensors } = parseSafetensors(file)
    expect(metadata).toEqual({ note: 'ä "quoted"', espalier: '{}' })
    expect([...tensors].map(([key, t]) => [key, t.type, t.shape])).toEqual(
      [['count', 'I64', []], ['w', 'F32', [2, 3]], ['labels', 'I32', [3]], ['u', 'U8', [3]], ['i', 'I8', [1]]],
    )
    expect(tensors.get('w')!.data).toEqual(floats)
    expect(tensors.get('w')!.data.buffer).toBe(file.buffer) // a view, not a copy
    expect(tensors.get('i')!.data).toEqual(Int8Array.of(-5))
  })

  it('stores halves, and refuses values beyond them', () => {
    const { tensors } = parseSafetensors(encodeSafetensors([['w', { shape: [6], data: floats }]], { floats: 'f16' }))
    expect(tensors.get('w')!.type).toBe('F16')
    expect(tensors.get('w')!.data).toEqual(halfToFloat(floatToHalf(floats)))
    const store = (x: number) => () =>
      encodeSafetensors([['big', { shape: [1], data: Float32Array.of(x) }]], { floats: 'f16' })
    expect(store(1e5)).toThrow(/"big".*65504/)
    expect(store(NaN)).toThrow(InputError)
  })

  it('reads a header that leaves data unaligned', () => {
    const json = new TextEncoder().encode('{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
      pad = json.length % 4 === 3 ? 2 : 3
    const file = new Uint8Array(8 + json.length + pad + 8).fill(32)
    new DataView(file.buffer).setBigUint64(0, BigInt(json.length + pad), true)
    file.set(json, 8)
    file.set(new Uint8Array(Float32Array.of(5, 6).buffer), 8 + json.length + pad)
    expect([...parseSafetensors(file).tensors.get('w')!.data as Float32Array]).toEqual([5, 6])
    const moved = new Uint8Array(file.length + 1)
    moved.set(file, 1)
    expect([...parseSafetensors(moved.subarray(1)).tensors.get('w')!.data as Float32Array]).toEqual([5, 6])
  })

  // From the disk, because a Buffer's slice does not copy as that of an array does.
  const fromDisk = (bytes: Uint8Array) => {
    const dir = mkdtempSync(join(tmpdir(), 'espalier-safetensors-')), path = join(dir, 'x.safetensors')
    writeFileSync(path, bytes)
    const read = readFileSync(path)
    rmSync(dir, { recursive: true })
    return parseSafetensors(read, path)
  }
  const raw = (
    header: object,
    padding: number,
    ...parts: (Float32Array | BigInt64Array | Uint8Array | Uint16Array)[]
  ) => {
    const text = `${JSON.stringify(header)}${' '.repeat(padding)}`, length = Buffer.alloc(8)
    length.writeUInt32LE(text.length)
    const body = parts.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength))
    return Buffer.concat([length, Buffer.from(text), ...body])
  }

  it.each([0, 1, 2, 3, 4, 5, 6, 7])('reads every type off its alignment, header padded by %i', (padding) => {
    const header = {
      odd: { dtype: 'U8', shape: [3], data_offsets: [0, 3] },
      w: { dtype: 'F32', shape: [2], data_offsets: [3, 11] },
      n: { dtype: 'I64', shape: [1], data_offsets: [11, 19] },
      h: { dtype: 'F16', shape: [1], data_offsets: [19, 21] },
      b: { dtype: 'BF16', shape: [], data_offsets: [21, 23] },
    }
    const { tensors } = fromDisk(raw(
      header,
      padding,
      Uint8Array.of(1, 2, 3),
      Float32Array.of(5, -6.5),
      BigInt64Array.of(-7n),
      Uint16Array.of(0x3c00),
      Uint16Array.of(0x4040),
    ))
    expect([...tensors.values()].map(({ data }) => [...data])).toEqual([[1, 2, 3], [5, -6.5], [-7n], [1], [3]])
  })

  it('reads and writes empty tensors, wherever they lie', () => {
    const header = {
      first: { dtype: 'F32', shape: [0, 4], data_offsets: [0, 0] },
      w: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
      between: { dtype: 'I64', shape: [2, 0], data_offsets: [4, 4] },
      v: { dtype: 'F32', shape: [1], data_offsets: [4, 8] },
      last: { dtype: 'U8', shape: [0], data_offsets: [8, 8] },
    }
    const { tensors } = fromDisk(raw(header, 0, Float32Array.of(1, 2)))
    expect([...tensors].map(([key, { shape, data }]) => [key, shape, data.length])).toEqual([
      ['first', [0, 4], 0],
      ['w', [1], 1],
      ['between', [2, 0], 0],
      ['v', [1], 1],
      ['last', [0], 0],
    ])
    expect(new Map([...parseSafetensors(encodeSafetensors(tensors)).tensors].sort())).toEqual(
      new Map([...tensors].sort()),
    )
  })

  it('metadata null is none', () => {
    const header = { __metadata__: null, w: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }
    expect(fromDisk(raw(header, 0, Float32Array.of(1))).metadata).toEqual({})
  })

  it('finds the one entry that is not finite, by name, unless told not to', () => {
    const file = encodeSafetensors([['a', { shape: [6], data: floats }], ['b.weight', {
      shape: [1001],
      data: new Float32Array(1001),
    }]])
    const at = file.length - 8 // the last but one entry of the second tensor
    new DataView(file.buffer).setFloat32(at, NaN, true)
    expect(() => parseSafetensors(file, 'x.safetensors')).toThrow(
      /^x\.safetensors: tensor "b\.weight" holds NaN at entry 999/,
    )
    expect(parseSafetensors(file, 'x', { finite: false }).tensors.size).toBe(2)
  })

  const absent = lacking('data/golden/index.json')
  it('reads every file of the shared data', ({ skip }) => {
    if (absent) skip(absent)
    for (const folder of ['weights', 'golden', 'tiny_vgg']) {
      for (const file of readdirSync(`${shared}/data/${folder}`).filter((name) => name.endsWith('.safetensors'))) {
        const bytes = readFileSync(`${shared}/data/${folder}/${file}`),
          { tensors, metadata } = parseSafetensors(bytes, file)
        const again = parseSafetensors(encodeSafetensors(tensors, { metadata }))
        expect(again.metadata).toEqual(metadata)
        expect([...again.tensors.keys()].sort()).toEqual([...tensors.keys()].sort())
        for (const [key, t] of tensors) {
          const back = again.tensors.get(key)!
          expect(back.shape).toEqual(t.shape)
          expect(
            Buffer.compare(
              Buffer.from(back.data.buffer, back.data.byteOffset, back.data.byteLength),
              Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength),
            ),
          ).toBe(0)
        }
      }
    }
  })
})

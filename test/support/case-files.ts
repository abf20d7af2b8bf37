// Files for tests of whole commands: safetensors laid out as other programs lay them out, networks with lively made-up
// weights, and what they answer, reckoned in float64 with the references alone.
import type { TensorToStore } from '../../src/files/safetensors.ts'
import { attention } from '../reference/attention.ts'
import { conv2d } from '../reference/conv.ts'
import { add, gelu, relu } from '../reference/elementwise.ts'
import { linear } from '../reference/matmul.ts'
import { build, type Nd, nd } from '../reference/nd.ts'
import { batchNormEval, layerNorm } from '../reference/norm.ts'
import { adaptiveAvgPool } from '../reference/pool.ts'
import { concat, permute, reshape, slice } from '../reference/shape.ts'
import type { Tensors } from './foreign-files.ts'

/** Numbers from 0 to 1, the same for a seed. */
export function numbers(seed: number): () => number {
  let state = seed * 2654435761 + 12345 >>> 0
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

/** The same names and shapes with values that make answers differ from picture to picture. */
export function lively(tensors: Tensors, seed = 1): Tensors {
  const next = numbers(seed)
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => {
      if (!(data instanceof Float32Array)) return [name, { shape, data }]
      const inputs = shape.length > 1 ? shape.slice(1).reduce((a, b) => a * b, 1) : 1
      const gain = shape.length === 1 && /weight$|running_var$/.test(name)
      const width = shape.length > 1 && inputs > 1 ? 3 / Math.sqrt(inputs) : 0.3
      return [name, { shape, data: data.map(() => (gain ? 1 : 0) + (2 * next() - 1) * width) }]
    }),
  )
}

/** A safetensors file byte for byte as asked, in the order of the names. */
export interface Layout {
  /** The header's length modulo 8. */
  residue?: number
  metadata?: Record<string, string> | null
}

/** The bytes of such a file. Our own encoder pads and sorts, others do not. */
export function rawSafetensors(tensors: Tensors, { residue = 0, metadata }: Layout = {}): Buffer {
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata }
  const parts: Buffer[] = []
  let at = 0
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    header[name] = { dtype: kindOf(data), shape, data_offsets: [at, at += bytes.length] }
    parts.push(bytes)
  }
  const text = JSON.stringify(header), length = Buffer.byteLength(text), blanks = (residue - length % 8 + 8) % 8
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(length + blanks))
  return Buffer.concat([head, Buffer.from(text + ' '.repeat(blanks)), ...parts])
}

function kindOf(data: TensorToStore['data']): string {
  if (data instanceof Float32Array) return 'F32'
  if (data instanceof BigInt64Array) return 'I64'
  return data instanceof Int32Array ? 'I32' : 'U8'
}

/** Pictures of patches in one colour each, [count, 3, side, side] bytes. */
export function pictures(count: number, side: number, seed = 7): TensorToStore {
  const next = numbers(seed), data = new Uint8Array(count * 3 * side * side)
  for (let n = 0; n < count * 3; n++) {
    const cells = Array.from({ length: 16 }, () => Math.floor(256 * next()))
    for (let i = 0; i < side * side; i++) {
      data[n * side * side + i] =
        cells[4 * Math.floor(4 * Math.floor(i / side) / side) + Math.floor(4 * (i % side) / side)]
    }
  }
  return { shape: [count, 3, side, side], data }
}

/** Bytes to what a network reads: (value / 255 - mean) / std, one number or one for each channel. */
export function normalised({ shape, data }: TensorToStore, mean: readonly number[], std: readonly number[]): Nd {
  const plane = shape[2] * shape[3]
  return nd(
    shape,
    Array.from(data as Uint8Array, (value, i) => {
      const c = Math.floor(i / plane) % 3
      return (value / 255 - mean[c % mean.length]) / std[c % std.length]
    }),
  )
}

const ndOf = ({ shape, data }: TensorToStore) => nd(shape, data as Float32Array)

/**
 * Logits of a ViT of one block with the names of `timmViT`, read off one token; `pos_embed` may lack entries for the
 * first tokens.
 */
export function vitLogits(tensors: Tensors, images: Nd, heads: number, eps = 1e-6, token = 0): Nd {
  const at = (name: string) => ndOf(tensors[name])
  const affine = (x: Nd, name: string) => linear(x, at(`${name}.weight`), at(`${name}.bias`))
  const norm = (x: Nd, name: string) => layerNorm(x, at(`${name}.weight`), at(`${name}.bias`), { eps })
  const patches = conv2d(images, at('patch_embed.proj.weight'), at('patch_embed.proj.bias'), { stride: 4 })
  const [n, width] = patches.shape, count = patches.shape[2] * patches.shape[3]
  const spread = (token: Nd) => build([n, 1, width], ([, , c]) => token.data[c])
  const tokens = ['cls_token', 'dist_token'].filter((name) => name in tensors).map((name) => spread(at(name)))
  const flat = permute(reshape(patches, { shape: [n, width, count] }), { order: [0, 2, 1] })
  let x = concat([...tokens, flat], { axis: 1 })
  const positions = at('pos_embed'), lacking = x.shape[1] - positions.shape[1]
  x = add(x, build([1, x.shape[1], width], ([, t, c]) => t < lacking ? 0 : positions.data[(t - lacking) * width + c]))
  const length = x.shape[1], qkv = affine(norm(x, 'blocks.0.norm1'), 'blocks.0.attn.qkv')
  const [q, k, v] = [0, 1, 2].map((i) =>
    reshape(slice(qkv, { start: [0, 0, i * width], end: [n, length, (i + 1) * width] }), {
      shape: [n, length, heads, width / heads],
    })
  )
  x = add(x, affine(reshape(attention(q, k, v), { shape: [n, length, width] }), 'blocks.0.attn.proj'))
  x = add(x, affine(gelu(affine(norm(x, 'blocks.0.norm2'), 'blocks.0.mlp.fc1')), 'blocks.0.mlp.fc2'))
  const first = slice(norm(x, 'norm'), { start: [0, token, 0], end: [n, token + 1, width] })
  return affine(reshape(first, { shape: [n, width] }), 'head')
}

/** Logits of the network with the names of `cifarResNet`: three blocks, option-A shortcuts. */
export function resNetLogits(tensors: Tensors, images: Nd): Nd {
  const at = (name: string) => ndOf(tensors[name])
  const normed = (x: Nd, conv: string, bn: string, stride = 1) =>
    batchNormEval(
      conv2d(x, at(`${conv}.weight`), null, { stride, padding: 1 }),
      at(`${bn}.weight`),
      at(`${bn}.bias`),
      at(`${bn}.running_mean`),
      at(`${bn}.running_var`),
    )
  let x = relu(normed(images, 'conv1', 'bn1'))
  for (const stage of [1, 2, 3]) {
    const stride = stage > 1 ? 2 : 1, block = `layer${stage}.0`, before = x
    const inner = relu(normed(x, `${block}.conv1`, `${block}.bn1`, stride))
    const y = normed(inner, `${block}.conv2`, `${block}.bn2`)
    const [, channels, height, width] = before.shape, margin = (y.shape[1] - channels) / 2
    const shortcut = build(y.shape, ([n, c, i, j]) => {
      const from = c - margin
      return from < 0 || from >= channels
        ? 0
        : before.data[((n * channels + from) * height + i * stride) * width + j * stride]
    })
    x = relu(add(y, shortcut))
  }
  const pooled = adaptiveAvgPool(x, { size: 1 })
  return linear(reshape(pooled, { shape: pooled.shape.slice(0, 2) }), at('linear.weight'), at('linear.bias'))
}

/** The largest entry of each row. */
export const choices = ({ shape: [n, classes], data }: Nd): number[] =>
  Array.from({ length: n }, (_, i) => {
    const row = [...data.subarray(i * classes, (i + 1) * classes)]
    return row.indexOf(Math.max(...row))
  })

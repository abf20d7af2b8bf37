// DeiT as an ONNX graph, from a checkpoint with timm's names: the same network in another runtime. Written as
// torch.onnx would write it (gelu by erf), but with layer norm as one node and without shape arithmetic, so that the
// runtime is not held up.
import type { StoredTensor } from '../src/files/safetensors.ts'
import { onnxModel, type OnnxNode, type OnnxTensor } from './onnx.ts'

/** Sizes of the network and of its batch. */
export interface DeiTSizes {
  batch: number
  image: number
  patch: number
  width: number
  depth: number
  heads: number
  classes: number
}

/** The bytes of the model: input `images` [batch, 3, image, image], output `logits` [batch, classes]. */
export function deitGraph(weights: ReadonlyMap<string, StoredTensor>, sizes: DeiTSizes): Uint8Array {
  const { batch, image, patch, width, depth, heads, classes } = sizes
  const tokens = (image / patch) ** 2 + 1, dim = width / heads
  const nodes: OnnxNode[] = [], tensors: OnnxTensor[] = []
  const floats = (name: string) => weights.get(name)!.data as Float32Array
  const keep = (name: string, shape: readonly number[], data: Float32Array | BigInt64Array) => {
    tensors.push({ name, shape, data })
    return name
  }
  const wholes = (name: string, ...values: number[]) => keep(name, [values.length], BigInt64Array.from(values, BigInt))
  const node = (type: string, inputs: string[], output: string, attributes?: OnnxNode['attributes']) => {
    nodes.push({ type, inputs, output, attributes })
    return output
  }
  const given = (name: string) => keep(name, weights.get(name)!.shape, floats(name))
  const norm = (x: string, name: string) =>
    node('LayerNormalization', [x, given(`${name}.weight`), given(`${name}.bias`)], `${name}.out`, {
      axis: -1,
      epsilon: { float: 1e-6 },
    })
  // ONNX multiplies from the right: [outputs, inputs] is stored as [inputs, outputs].
  const dense = (x: string, name: string) => {
    const [outputs, inputs] = weights.get(`${name}.weight`)!.shape
    const weight = keep(`${name}.weight`, [inputs, outputs], transposed(floats(`${name}.weight`), outputs, inputs))
    return node('Add', [node('MatMul', [x, weight], `${name}.product`), given(`${name}.bias`)], `${name}.out`)
  }
  const [half, one, root, scale] = [['half', 0.5], ['one', 1], ['root', Math.SQRT2], ['scale', dim ** -0.5]]
    .map(([name, value]) => keep(name as string, [], Float32Array.of(value as number)))
  const gelu = (x: string) => {
    const erf = node('Erf', [node('Div', [x, root], `${x}.scaled`)], `${x}.erf`)
    return node('Mul', [node('Mul', [x, node('Add', [erf, one], `${x}.plus`)], `${x}.twice`), half], `${x}.gelu`)
  }
  const perHead = wholes('per head', batch, tokens, heads, dim), together = wholes('together', batch, tokens, width)
  const thirds = wholes('thirds', width, width, width)

  const attention = (x: string, name: string) => {
    const parts = ['q', 'k', 'v'].map((part) => `${name}.${part}`)
    nodes.push({ type: 'Split', inputs: [dense(x, `${name}.qkv`), thirds], output: parts, attributes: { axis: -1 } })
    const [q, k, v] = parts.map((part, i) =>
      node('Transpose', [node('Reshape', [part, perHead], `${part}.heads`)], `${part}.first`, {
        perm: i === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3],
      })
    )
    const scores = node('MatMul', [node('Mul', [q, scale], `${name}.scaled`), k], `${name}.scores`)
    const context = node('MatMul', [node('Softmax', [scores], `${name}.shares`, { axis: -1 }), v], `${name}.context`)
    const joined = node(
      'Reshape',
      [node('Transpose', [context], `${name}.back`, { perm: [0, 2, 1, 3] }), together],
      `${name}.joined`,
    )
    return dense(joined, `${name}.proj`)
  }

  const patches = node(
    'Conv',
    ['images', given('patch_embed.proj.weight'), given('patch_embed.proj.bias')],
    'patches',
    { strides: [patch, patch] },
  )
  const rows = node(
    'Transpose',
    [node('Reshape', [patches, wholes('as rows', batch, width, tokens - 1)], 'flat')],
    'rows',
    { perm: [0, 2, 1] },
  )
  const token = floats('cls_token')
  const first = keep(
    'class tokens',
    [batch, 1, width],
    Float32Array.from({ length: batch * width }, (_, i) => token[i % width]),
  )
  let x = node('Add', [node('Concat', [first, rows], 'tokens', { axis: 1 }), given('pos_embed')], 'embedded')
  for (let i = 0; i < depth; i++) {
    const name = `blocks.${i}`
    x = node('Add', [x, attention(norm(x, `${name}.norm1`), `${name}.attn`)], `${name}.middle`)
    const hidden = gelu(dense(norm(x, `${name}.norm2`), `${name}.mlp.fc1`))
    x = node('Add', [x, dense(hidden, `${name}.mlp.fc2`)], `${name}.out`)
  }
  const zero = keep('zero', [], BigInt64Array.of(0n))
  const logits = dense(node('Gather', [norm(x, 'norm'), zero], 'class', { axis: 1 }), 'head')
  return onnxModel(nodes, tensors, { name: logits, shape: [batch, classes] }, [{
    name: 'images',
    shape: [batch, 3, image, image],
  }])
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]
  return out
}

// Graphs as other exporters write them, after their documentation, with the weights of networks of ours, so that both
// must compute the same: torchvision's ResNet (modules as they are), timm's ViT (sizes by arithmetic, layer norm and
// gelu in pieces), Hugging Face's Swin (windows, rolls as slices, tables of positions).
import { ResNet, Swin, ViT } from '../../models/index.ts'
import { type Model, type Tensor, take } from '../../src/index.ts'
import type { OnnxAttribute, OnnxSize } from '../../src/core/onnx-form.ts'
import { encodeOnnx, type OnnxNode, type OnnxTensor } from '../../src/onnx/encode.ts'

/** A graph under construction. */
export class Sketch {
  nodes: OnnxNode[] = []
  tensors: OnnxTensor[] = []
  private count = 0

  node(type: string, inputs: string[], attributes: Record<string, OnnxAttribute> = {}, outputs = 1): string {
    const names = Array.from({ length: outputs }, (_, i) => `/${type}_${this.count}_output_${i}`)
    this.nodes.push({ type, name: `/${type}_${this.count++}`, inputs, outputs: names, attributes })
    return names[0]
  }

  floats(name: string, shape: readonly number[], data: ArrayLike<number>): string {
    this.tensors.push({ name, shape, data: Float32Array.from(data) })
    return name
  }

  number(value: number): string {
    return this.floats(`onnx::const_${this.count++}`, [], [value])
  }

  wholes(...values: number[]): string {
    const name = `onnx::const_${this.count++}`
    this.tensors.push({ name, shape: [values.length], data: BigInt64Array.from(values, BigInt) })
    return name
  }

  whole(value: number): string {
    const name = `onnx::const_${this.count++}`
    this.tensors.push({ name, shape: [], data: BigInt64Array.of(BigInt(value)) })
    return name
  }

  /** The bytes; the last node's first output is the logits. */
  bytes(image: readonly number[], classes: number, batch: OnnxSize = { batch: 1 }): Uint8Array {
    const last = this.nodes.at(-1)!.outputs[0]
    return encodeOnnx({
      nodes: this.nodes,
      tensors: this.tensors,
      inputs: [{ name: 'input', shape: [batch, ...image] }],
      output: { name: last, shape: [batch, classes] },
    })
  }
}

/** Values of a model by path. */
class Values {
  readonly model: Model
  constructor(model: Model) {
    this.model = model
  }
  async of(path: string): Promise<{ shape: readonly number[], data: Float32Array }> {
    const leaf: Tensor = take(this.model, path)
    return { shape: leaf.shape, data: await leaf.data() as Float32Array }
  }
}

/** [outputs, inputs] as ONNX multiplies it. */
function turned(data: ArrayLike<number>, outputs: number, inputs: number): Float32Array {
  return Float32Array.from({ length: outputs * inputs }, (_, i) => data[i % outputs * inputs + Math.floor(i / outputs)])
}

const resnetSketch = () => new ResNet({ layers: [2, 1], width: 8, classes: 6, block: 'basic' })

/** torchvision's resnet, training=EVAL with batch norms left as they are. */
async function torchvisionResNet(model: ResNet, batch?: OnnxSize): Promise<Uint8Array> {
  const s = new Sketch(), v = new Values(model)
  const conv = async (x: string, path: string, name: string, bn: string, stride: number, padding: number) => {
    const w = await v.of(`${path}.conv.weight`), size = w.shape[2]
    const y = s.node('Conv', [x, s.floats(`${name}.weight`, w.shape, w.data)], {
      dilations: [1, 1],
      group: 1,
      kernel_shape: [size, size],
      pads: [padding, padding, padding, padding],
      strides: [stride, stride],
    })
    const fields: [string, string][] = [['gain', 'weight'], ['bias', 'bias'], ['mean', 'running_mean'], [
      'variance',
      'running_var',
    ]]
    const stats: string[] = []
    for (const [ours, theirs] of fields) {
      const each = await v.of(`${path}.norm.${ours}`)
      stats.push(s.floats(`${bn}.${theirs}`, each.shape, each.data))
    }
    return s.node('BatchNormalization', [y, ...stats], { epsilon: { float: 1e-5 }, momentum: { float: 0.9 } })
  }
  let x = s.node('Relu', [await conv('input', 'stem', 'conv1', 'bn1', 2, 3)])
  x = s.node('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 0 })
  for (const [stage, blocks] of model.stages.entries()) {
    for (const i of blocks.keys()) {
      const at = `stages.${stage}.${i}`, name = `layer${stage + 1}.${i}`, stride = stage > 0 && i === 0 ? 2 : 1
      let y = s.node('Relu', [await conv(x, `${at}.layers.0`, `${name}.conv1`, `${name}.bn1`, stride, 1)])
      y = await conv(y, `${at}.layers.1`, `${name}.conv2`, `${name}.bn2`, 1, 1)
      const short = blocks[i].shortcut
        ? await conv(x, `${at}.shortcut`, `${name}.downsample.0`, `${name}.downsample.1`, stride, 0)
        : x
      x = s.node('Relu', [s.node('Add', [y, short])])
    }
  }
  const flat = s.node('Flatten', [s.node('GlobalAveragePool', [x])], { axis: 1 })
  const w = await v.of('head.weight'), b = await v.of('head.bias')
  s.node('Gemm', [flat, s.floats('fc.weight', w.shape, w.data), s.floats('fc.bias', b.shape, b.data)], {
    alpha: { float: 1 },
    beta: { float: 1 },
    transB: 1,
  })
  return s.bytes([3, 40, 40], w.shape[0], batch)
}

/** Layer norm as opsets before 17 have it. */
function normInPieces(s: Sketch, x: string, gain: string, bias: string, eps: number): string {
  const centred = s.node('Sub', [x, s.node('ReduceMean', [x], { axes: [-1] })])
  const variance = s.node('ReduceMean', [s.node('Pow', [centred, s.number(2)])], { axes: [-1] })
  const root = s.node('Sqrt', [s.node('Add', [variance, s.number(eps)])])
  return s.node('Add', [s.node('Mul', [s.node('Div', [centred, root]), gain]), bias])
}

function geluInPieces(s: Sketch, x: string): string {
  const erf = s.node('Erf', [s.node('Div', [x, s.number(Math.SQRT2)])])
  return s.node('Mul', [s.node('Mul', [x, s.node('Add', [erf, s.number(1)])]), s.number(0.5)])
}

const vitSketch = () => new ViT({ image: 16, patch: 4, width: 24, depth: 2, heads: 3, hidden: 36, classes: 7 })

/** timm's vit, sizes by arithmetic on shapes, as torch.onnx writes it with a dynamic batch. */
async function timmViT(model: ViT, batch?: OnnxSize): Promise<Uint8Array> {
  const s = new Sketch(), v = new Values(model), [, C] = model.positions.shape, H = 3, D = C / H
  const given = async (name: string, path: string) => {
    const { shape, data } = await v.of(path)
    return s.floats(name, shape, data)
  }
  const dense = async (x: string, name: string, path: string) => {
    const w = await v.of(`${path}.weight`),
      product = s.node('MatMul', [
        x,
        s.floats(`onnx::MatMul_${name}`, [w.shape[1], w.shape[0]], turned(w.data, w.shape[0], w.shape[1])),
      ])
    return s.node('Add', [await given(`${name}.bias`, `${path}.bias`), product])
  }
  const norm = async (x: string, name: string, path: string) =>
    normInPieces(s, x, await given(`${name}.weight`, `${path}.gain`), await given(`${name}.bias`, `${path}.bias`), 1e-6)
  const size = (x: string, axis: number) => s.node('Gather', [s.node('Shape', [x]), s.whole(axis)], { axis: 0 })
  const listed = (...parts: string[]) =>
    s.node('Concat', parts.map((part) => part.includes('Gather') ? s.node('Unsqueeze', [part, s.wholes(0)]) : part), {
      axis: 0,
    })

  const map = s.node('Conv', [
    'input',
    await given('patch_embed.proj.weight', 'patches.projection.weight'),
    await given('patch_embed.proj.bias', 'patches.projection.bias'),
  ], { kernel_shape: [4, 4], strides: [4, 4], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1 })
  const front = s.node('Slice', [s.node('Shape', [map]), s.wholes(0), s.wholes(2), s.wholes(0)])
  const rows = s.node('Transpose', [s.node('Reshape', [map, s.node('Concat', [front, s.wholes(-1)], { axis: 0 })])], {
    perm: [0, 2, 1],
  })
  // Expand, with -1 replaced by 1 where the shape has it.
  const wanted = listed(size(rows, 0), s.wholes(-1), s.wholes(-1))
  const ones = s.wholes(1, 1, 1), isOpen = s.node('Equal', [wanted, s.node('Mul', [ones, s.whole(-1)])])
  const token = s.node('Expand', [await given('cls_token', 'classToken'), s.node('Where', [isOpen, ones, wanted])])
  let x = s.node('Add', [s.node('Concat', [token, rows], { axis: 1 }), await given('pos_embed', 'positions')])
  for (const i of model.blocks.keys()) {
    const at = `blocks.${i}`, y = await norm(x, `${at}.norm1`, `${at}.norm1`)
    // One matrix for queries, keys and values.
    const parts = await Promise.all(['query', 'key', 'value'].map((part) => v.of(`${at}.attention.${part}`)))
    const biases = await Promise.all(['query', 'key', 'value'].map((part) => v.of(`${at}.attention.${part}Bias`)))
    const qkv = Float32Array.from(parts.flatMap(({ data }) => [...data]))
    const product = s.node('MatMul', [y, s.floats(`onnx::MatMul_${300 + i}`, [C, 3 * C], turned(qkv, 3 * C, C))])
    const sum = s.node('Add', [
      s.floats(`${at}.attn.qkv.bias`, [3 * C], biases.flatMap(({ data }) => [...data])),
      product,
    ])
    const split = s.node('Reshape', [sum, listed(size(y, 0), size(y, 1), s.wholes(3), s.wholes(H), s.wholes(D))])
    const all = s.node('Transpose', [split], { perm: [2, 0, 3, 1, 4] })
    const [q, k, value] = [0, 1, 2].map((n) => s.node('Gather', [all, s.whole(n)], { axis: 0 }))
    const root = s.number(D ** -0.25)
    const scores = s.node('MatMul', [
      s.node('Mul', [q, root]),
      s.node('Mul', [s.node('Transpose', [k], { perm: [0, 1, 3, 2] }), root]),
    ])
    const context = s.node('Transpose', [s.node('MatMul', [s.node('Softmax', [scores], { axis: -1 }), value])], {
      perm: [0, 2, 1, 3],
    })
    const joined = s.node('Reshape', [context, listed(size(y, 0), size(y, 1), s.wholes(C))])
    const out = await v.of(`${at}.attention.out`)
    const projected = s.node('Add', [
      await given(`${at}.attn.proj.bias`, `${at}.attention.outBias`),
      s.node('MatMul', [joined, s.floats(`onnx::MatMul_${400 + i}`, [C, C], turned(out.data, C, C))]),
    ])
    x = s.node('Add', [x, projected])
    const hidden = geluInPieces(
      s,
      await dense(await norm(x, `${at}.norm2`, `${at}.norm2`), `${at}.mlp.fc1`, `${at}.mlp.fc1`),
    )
    x = s.node('Add', [x, await dense(hidden, `${at}.mlp.fc2`, `${at}.mlp.fc2`)])
  }
  const first = s.node('Gather', [await norm(x, 'norm', 'norm'), s.whole(0)], { axis: 1 })
  const w = await v.of('head.weight'), b = await v.of('head.bias')
  s.node('Gemm', [first, s.floats('head.weight', w.shape, w.data), s.floats('head.bias', b.shape, b.data)], {
    transB: 1,
  })
  return s.bytes([3, 16, 16], w.shape[0], batch)
}

const swinSketch = () =>
  new Swin({ image: 32, patch: 4, width: 16, depths: [2, 2], heads: [2, 4], windows: 4, classes: 5 })

/** Hugging Face's Swin, opset 17: windows by reshape and transpose, shifts by slices, bias and mask as constants. */
async function huggingFaceSwin(model: Swin, batch?: OnnxSize): Promise<Uint8Array> {
  const s = new Sketch(), v = new Values(model), eps = { float: 1e-5 }
  const given = async (name: string, path: string) => {
    const { shape, data } = await v.of(path)
    return s.floats(name, shape, data)
  }
  const norm = async (x: string, path: string) =>
    s.node('LayerNormalization', [
      x,
      await given(`${path}.weight`, `${path}.gain`),
      await given(`${path}.bias_`, `${path}.bias`),
    ], { axis: -1, epsilon: eps })
  const matrix = async (x: string, name: string, path: string, bias: string | null) => {
    const { shape, data } = await v.of(path),
      outputs = bias ? (await v.of(bias)).data.length : shape[0],
      inputs = data.length / outputs
    const product = s.node('MatMul', [x, s.floats(`onnx::${name}`, [inputs, outputs], turned(data, outputs, inputs))])
    return bias ? s.node('Add', [product, s.floats(`${name}.bias`, [outputs], (await v.of(bias)).data)]) : product
  }
  const reshaped = (x: string, ...to: number[]) => s.node('Reshape', [x, s.wholes(...to)])
  const rolled = (x: string, by: number, n: number) =>
    [1, 2].reduce((y, axis) => {
      const cut = by < 0 ? -by : n - by
      const part = (from: number, to: number) =>
        s.node('Slice', [y, s.wholes(from), s.wholes(to), s.wholes(axis), s.wholes(1)])
      return s.node('Concat', [part(cut, Number.MAX_SAFE_INTEGER), part(0, cut)], { axis })
    }, x)

  const map = s.node('Conv', [
    'input',
    await given('embeddings.projection.weight', 'patches.projection.weight'),
    await given('embeddings.projection.bias', 'patches.projection.bias'),
  ], { kernel_shape: [4, 4], strides: [4, 4] })
  let side = 8, C = 16
  let x = await norm(s.node('Transpose', [reshaped(map, 0, C, side * side)], { perm: [0, 2, 1] }), 'patchNorm')
  for (const [stage, { blocks, merging }] of model.stages.entries()) {
    for (const [i, { shift, window, mask }] of blocks.entries()) {
      const at = `stages.${stage}.blocks.${i}`, H = [2, 4][stage], D = C / H, n = window ** 2, across = side / window
      let y = reshaped(await norm(x, `${at}.norm1`), -1, side, side, C)
      if (shift) y = rolled(y, -shift, side)
      const split = s.node('Transpose', [reshaped(y, -1, across, window, across, window, C)], {
        perm: [0, 1, 3, 2, 4, 5],
      })
      const windows = reshaped(split, -1, n, C), inner = `${at}.attention.inner`
      const heads = async (part: string) =>
        s.node('Transpose', [
          reshaped(await matrix(windows, `${at}.${part}`, `${inner}.${part}`, `${inner}.${part}Bias`), -1, n, H, D),
        ], { perm: [0, 2, 1, 3] })
      const [q, k, value] = [await heads('query'), await heads('key'), await heads('value')]
      let scores = s.node('Div', [
        s.node('MatMul', [q, s.node('Transpose', [k], { perm: [0, 1, 3, 2] })]),
        s.number(Math.sqrt(D)),
      ])
      const table = await v.of(`${at}.attention.table`), index = await take(model, `${at}.attention.index`).data()
      const bias = s.node('Unsqueeze', [
        s.node('Transpose', [
          reshaped(
            s.node('Gather', [
              s.floats(`${at}.relative_position_bias_table`, table.shape, table.data),
              s.wholes(...index),
            ], { axis: 0 }),
            n,
            n,
            -1,
          ),
        ], { perm: [2, 0, 1] }),
        s.wholes(0),
      ])
      scores = s.node('Add', [scores, bias])
      if (mask) {
        const grouped = reshaped(scores, -1, across ** 2, H, n, n)
        const masked = s.node('Add', [
          grouped,
          s.node('Unsqueeze', [
            s.node('Unsqueeze', [s.floats(`${at}.mask`, mask.shape, await mask.data()), s.wholes(1)]),
            s.wholes(0),
          ]),
        ])
        scores = reshaped(masked, -1, H, n, n)
      }
      const context = s.node('Transpose', [s.node('MatMul', [s.node('Softmax', [scores], { axis: -1 }), value])], {
        perm: [0, 2, 1, 3],
      })
      const attended = await matrix(
        reshaped(context, -1, n, C),
        `${at}.output.dense`,
        `${inner}.out`,
        `${inner}.outBias`,
      )
      let z = reshaped(
        s.node('Transpose', [reshaped(attended, -1, across, across, window, window, C)], { perm: [0, 1, 3, 2, 4, 5] }),
        -1,
        side,
        side,
        C,
      )
      if (shift) z = rolled(z, shift, side)
      x = s.node('Add', [x, reshaped(z, -1, side * side, C)])
      const hidden = geluInPieces(
        s,
        await matrix(
          await norm(x, `${at}.norm2`),
          `${at}.intermediate.dense`,
          `${at}.mlp.fc1.weight`,
          `${at}.mlp.fc1.bias`,
        ),
      )
      x = s.node('Add', [x, await matrix(hidden, `${at}.output`, `${at}.mlp.fc2.weight`, `${at}.mlp.fc2.bias`)])
    }
    if (!merging) continue
    const grid = reshaped(x, -1, side, side, C)
    const quarter = (dy: number, dx: number) =>
      s.node('Slice', [
        s.node('Slice', [grid, s.wholes(dy), s.wholes(side), s.wholes(1), s.wholes(2)]),
        s.wholes(dx),
        s.wholes(side),
        s.wholes(2),
        s.wholes(2),
      ])
    // Hugging Face puts columns behind rows: [0::2, 0::2], [1::2, 0::2], [0::2, 1::2], [1::2, 1::2].
    const four = reshaped(
      s.node('Concat', [quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)], { axis: 3 }),
      -1,
      side * side / 4,
      4 * C,
    )
    const path = `stages.${stage}.merging`,
      gain = await v.of(`${path}.norm.gain`),
      bias = await v.of(`${path}.norm.bias`)
    const normed = s.node('LayerNormalization', [
      four,
      s.floats(`${path}.norm.weight`, [4 * C], gain.data),
      s.floats(`${path}.norm.bias`, [4 * C], bias.data),
    ], { axis: -1, epsilon: eps })
    x = await matrix(normed, `${path}.reduction`, `${path}.weight`, null)
    side /= 2
    C *= 2
  }
  const pooled = s.node('GlobalAveragePool', [s.node('Transpose', [await norm(x, 'norm')], { perm: [0, 2, 1] })])
  const w = await v.of('head.weight'), b = await v.of('head.bias')
  s.node('Gemm', [
    s.node('Flatten', [pooled], { axis: 1 }),
    s.floats('classifier.weight', w.shape, w.data),
    s.floats('classifier.bias', b.shape, b.data),
  ], { transB: 1 })
  return s.bytes([3, 32, 32], w.shape[0], batch)
}

/** One of these graphs, the network it is written from, and its images. */
export interface ForeignCase {
  make: () => Model
  write: (model: Model, batch?: number) => Promise<Uint8Array>
  image: readonly [number, number, number]
}

export const foreignCases = {
  "torchvision's resnet": { make: resnetSketch, write: torchvisionResNet, image: [3, 40, 40] },
  "timm's vit": { make: vitSketch, write: timmViT, image: [3, 16, 16] },
  "Hugging Face's swin": { make: swinSketch, write: huggingFaceSwin, image: [3, 32, 32] },
} as unknown as Readonly<Record<string, ForeignCase>>

// Every architecture against PyTorch: logits, loss, all gradients, training mode, mask gradients and pruned logits.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { crossEntropy, leaves, mapTree, parameters, record, scope, type Tensor, tensor,
  valueAndGradAux } from '../../src/index.ts'
import { saveWeights } from '../../src/checkpoint/weights.ts'
import { gatesOf } from '../../src/nn/gates.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { describeDevice } from '../support/device.ts'
import { golden, type Golden, hasGolden, shared } from '../support/golden.ts'
import { goldenInput, loadModel, type Model, type ModelCase, modelCases } from '../support/model-cases.ts'
import { relativeError } from '../reference/nd.ts'

const index = JSON.parse(readFileSync(new URL('../fixtures/golden/index.json', import.meta.url), 'utf8')) as Record<
  string,
  { f32_vs_f64?: Record<string, [number, number]> }
>

/**
 * |a - b| within 1e-5 of the tensor's largest value, or within 20 times the difference that PyTorch's own float32 run
 * shows in that group of tensors (index.json), whichever is larger.
 */
function compare(name: string, got: ArrayLike<number>, want: ArrayLike<number>, noise: [number, number] | undefined) {
  const largest = Array.from(want).reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  const allowed = Math.max(1e-5, 20 * (noise?.[0] ?? 0) / (largest || 1))
  expect(relativeError(got, want), name).toBeLessThanOrEqual(largest ? allowed : allowed * (noise?.[1] ?? 1))
}

async function compareMode(
  file: Golden,
  name: string,
  mode: 'eval' | 'train',
  model: Model,
  { naming, more, kinks }: ModelCase,
) {
  const noise = (group: string): [number, number] | undefined => {
    const stated = index[name]?.f32_vs_f64?.[`${mode}.${group}`]
    return kinks?.mode === mode && group.startsWith('grad') ? [kinks.tolerance * stated![1] / 20, stated![1]] : stated
  }
  const labels = tensor(Int32Array.from(file.get('labels').data))
  const holder = { model, image: goldenInput(file) }
  const run = valueAndGradAux((held: typeof holder): [Tensor, Tensor] => {
    const logits = held.model.call(held.image, { training: mode === 'train' })
    return [crossEntropy(logits, labels), logits]
  })
  const [loss, grads, logits] = run(holder)
  compare('logits', await logits.data(), file.get(`${mode}.logits`).data, noise('logits'))
  compare('loss', await loss.data(), file.get(`${mode}.loss`).data, noise('loss'))
  const saved = await saveWeights(gradientsAsModel(model, grads.model), naming)
  for (const each of more ? [file, golden(more)] : [file]) {
    if (each.has(`${mode}.grad_input`)) {
      const expected = each.get(`${mode}.grad_input`).data // of the first image only, in large files
      compare(
        'gradient of the input',
        (await grads.image!.data()).subarray(0, expected.length),
        expected,
        noise('grad_input'),
      )
    }
    for (const [published, { data }] of Object.entries(each.group(`${mode}.grad.`))) {
      expect([...saved.keys()], `gradient of ${published}`).toContain(published)
      compare(`gradient of ${published}`, saved.get(published)!.data, data, noise('grad'))
    }
  }
  // Large models store the L2 norm and the sum of every gradient, in doubles.
  const norms = mode === 'eval'
    ? JSON.parse(file.metadata.eval_grad_l2_and_sum ?? '{}') as Record<string, [number, number]>
    : {}
  for (const [published, [norm, total]] of Object.entries(norms)) {
    const values = saved.get(published)!.data
    const [sum, squares] = values.reduce(([s, q], value) => [s + value, q + value * value], [0, 0])
    expect(Math.abs(Math.sqrt(squares) - norm), `L2 norm of ${published}`).toBeLessThanOrEqual(1e-4 * norm + 1e-12)
    expect(Math.abs(sum - total), `sum of ${published}`).toBeLessThanOrEqual(
      1e-4 * norm * Math.sqrt(values.length) + 1e-12,
    )
  }
  disposeTree([loss, grads, logits, holder.image, labels])
}

/** Gradients under our paths; parameters without one (unused) count as zeros, running statistics as themselves. */
function gradientsAsModel(model: Model, grads: Model): unknown {
  const found = new Map(leaves(grads)), trained = new Set(parameters(model).map(([path]) => path))
  return mapTree(
    model,
    (leaf, path) =>
      found.get(path) ?? (trained.has(path) ? tensor(new Float32Array(leaf.size), leaf.shape) : leaf.view(leaf.shape)),
  )
}

test.skipIf(!existsSync(`${shared}/data/golden`))('no golden model file is left out', () => {
  const files = readdirSync(`${shared}/data/golden`).filter((name) => name.endsWith('.safetensors')).map((name) =>
    name.slice(0, -'.safetensors'.length)
  )
  const used = [
    ...Object.entries(modelCases).flatMap(([name, { more }]) => more ? [name, more] : [name]),
    'ops',
    'optim',
  ]
  expect(files.filter((name) => !used.includes(name))).toEqual([])
})

describeDevice('models', (adapter) => {
  for (const [name, definition] of Object.entries(modelCases)) {
    if (definition.patience && adapter === 'dawn') continue
    test.skipIf(!hasGolden(name) || (definition.weights !== undefined && !hasGolden('resnet20_cifar8')))(
      `${name} equals PyTorch`,
      async () => {
        const file = golden(name)
        const model = loadModel(definition, file)
        await compareMode(file, name, 'eval', model, definition)
        if (file.has('train.logits')) {
          await compareMode(file, name, 'train', model, definition)
          const after = await saveWeights(model, definition.naming)
          for (const [published, { data }] of Object.entries(file.group('train.buffer.'))) {
            compare(published, after.get(published)!.data, data, [1e-6, 1])
          }
        }
        disposeTree(model)
      },
      definition.patience,
    )

    if (definition.gate) {
      test.skipIf(!hasGolden(name))(`${name}: mask gradients and pruned logits`, async () => {
        const file = golden(name)
        const model = loadModel(definition, file)
        const all = new Map(gatesOf(model))
        const units = file.names('eval.maskgrad.').map((key) => key.slice('eval.maskgrad.'.length))
        for (const unit of units) {
          const { shape, data } = file.get(`eval.maskgrad.${unit}`)
          all.get(definition.gate!(unit))!.mask = tensor(new Float32Array(data.length).fill(1), shape)
        }
        const labels = tensor(Int32Array.from(file.get('labels').data)), image = goldenInput(file)
        const [, grads] = valueAndGradAux((
          held: Model,
        ): [Tensor, null] => [crossEntropy(held.call(image), labels), null])(model)
        const found = new Map(leaves(grads))
        const noise = index[name].f32_vs_f64!
        for (const unit of units) {
          compare(
            `mask gradient of ${unit}`,
            await found.get(`${definition.gate!(unit)}.mask`)!.data(),
            file.get(`eval.maskgrad.${unit}`).data,
            noise['eval.maskgrad'],
          )
          all.get(definition.gate!(unit))!.mask!.write(Float32Array.from(file.get(`prune.mask.${unit}`).data))
        }
        const pruned = scope(() => model.call(image))
        compare('pruned logits', await pruned.data(), file.get('prune.logits').data, noise['eval.logits'])
        disposeTree([model, grads, image, labels, pruned])
      }, definition.patience)
    }
  }

  // What lies between: the residual stream before each block and the last norm, and who attends to whom.
  test.skipIf(adapter === 'dawn' || !hasGolden('deit_tiny_imagenet8'))(
    'deit_tiny_imagenet8: residual stream and attention maps',
    async () => {
      const name = 'deit_tiny_imagenet8'
      const file = golden(name)
      const model = loadModel(modelCases[name], file)
      const image = goldenInput(file)
      const { calls, result } = record(() => model.call(image), [], true)
      const streams = await Promise.all(
        calls.filter(({ op }) => op.name === 'layer-norm').filter((_, i) => i % 2 === 0)
          .map(({ args: [x] }) => x!.data() as Promise<Float32Array>),
      )
      expect(streams).toHaveLength(13)
      const width = 192, tokens = 197
      const classTokens = streams.flatMap((x) =>
        Array.from({ length: 8 }, (_, b) => [...x.subarray(b * tokens * width, (b * tokens + 1) * width)]).flat()
      )
      compare('class token of every block', classTokens, file.get('eval.stream.cls').data, undefined)
      // Token 171 of image 0 magnifies rounding: pixels changed by 1e-7 of their value change it by 4e-4 after twelve
      // blocks.
      for (const [at, rounding] of [[0, 0], [1, 0], [12, 1e-4]]) {
        compare(
          `stream ${at} of image 0`,
          streams[at].subarray(0, tokens * width),
          file.get(`eval.stream.img0.${at}`).data,
          [rounding, 1],
        )
      }
      const attentions = calls.filter(({ op }) => op.name === 'attention')
      for (const block of [0, 11]) {
        const { args: [q, k], attrs } = attentions[block]
        const maps = shares(
          await q!.data() as Float32Array,
          await k!.data() as Float32Array,
          tokens,
          3,
          64,
          (attrs as { scale: number }).scale,
        )
        compare(`attention of block ${block}`, maps, file.get(`eval.attn.img0.block${block}`).data, [2e-6, 1])
      }
      disposeTree([model, image, result, calls.map(({ out, saved }) => [out, Object.values(saved)])])
    },
    300_000,
  )
})

/** Softmax of scale q k of the first image, [heads, queries, keys], in doubles. */
function shares(
  q: Float32Array,
  k: Float32Array,
  tokens: number,
  heads: number,
  dim: number,
  scale: number,
): Float64Array {
  const out = new Float64Array(heads * tokens * tokens)
  for (let h = 0, at = 0; h < heads; h++) {
    for (let i = 0; i < tokens; i++, at += tokens) {
      const row = out.subarray(at, at + tokens)
      for (let j = 0; j < tokens; j++) {
        for (let d = 0; d < dim; d++) row[j] += scale * q[(i * heads + h) * dim + d] * k[(j * heads + h) * dim + d]
      }
      const most = row.reduce((a, b) => Math.max(a, b)),
        total = row.reduce((sum, score) => sum + Math.exp(score - most), 0)
      row.forEach((score, j) => {
        row[j] = Math.exp(score - most) / total
      })
    }
  }
  return out
}

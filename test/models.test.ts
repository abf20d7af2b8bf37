// Every architecture against PyTorch: logits, loss, all gradients, training mode, mask gradients and pruned logits.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cifarResNet, ResNet, Swin, tinyVGG, VGG, ViT } from '../models/index.ts'
import { type Context, crossEntropy, Gate, leaves, parameters, scope, type Tensor, tensor, valueAndGradAux } from '../src/index.ts'
import { loadWeights, microsoftSwin, type Naming, resnet, saveWeights, timmViT, torchvisionSwin, torchvisionVGG, torchvisionViT, tinyVGG as tinyVGGNames } from '../src/io/weights.ts'
import { disposeTree } from '../src/tree.ts'
import { describeDevice } from './device.ts'
import { golden, type Golden, hasGolden, shared } from './golden.ts'
import { relativeError } from './reference/nd.ts'

interface Model { call(image: Tensor, context?: Context): Tensor }

interface ModelCase {
  make: () => Model
  naming: Naming
  /** The file in shared/data/weights whose parameters the golden belongs to, where it holds none itself. */
  weights?: string
  /** A golden's unit (`blocks.0.heads`) as the path of its gate. */
  gate?: (unit: string) => string
  /** The model's own numbers are smaller than the golden's where its last gradients vanish; see the reason beside it. */
}

const vitGate = (unit: string) => unit.replace('.heads', '.attention.heads').replace('.mlp', '.mlp.hidden')
const swinGate = (softmax: (stage: number) => boolean) => (unit: string) => {
  const [, stage, number, kind] = /^layers\.(\d)\.blocks\.(\d)\.(\w+)$/.exec(unit)!
  const place = kind === 'mlp' ? 'mlp.hidden' : softmax(Number(stage)) ? 'attention.inner.heads' : 'attention.heads'
  return `stages.${stage}.blocks.${number}.${place}`
}
const convGate = (unit: string) => unit.replace(/^layer(\d)\.(\d)\.conv1$/, (_, stage, number) => `stages.${stage - 1}.${number}.inner.0`)
const vggPlan = (divisor: number) => [64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512, 'pool', 512, 512, 'pool']
  .map((step) => typeof step === 'number' ? step / divisor : 'pool' as const)
const mini = { image: 32, patch: 4, width: 48, depth: 2, heads: 3, hidden: 96, classes: 10 }
const miniSwin = { image: 32, patch: 2, width: 24, depths: [2, 2], heads: [2, 4], classes: 10 }

const cases: Record<string, ModelCase> = {
  tv_vit_mini: { make: () => new ViT(mini), naming: torchvisionViT },
  deit_mini: { make: () => new ViT(mini), naming: timmViT, gate: vitGate },
  deit_distilled_mini: { make: () => new ViT({ ...mini, distilled: true }), naming: timmViT, gate: vitGate },
  tv_swin_mini: { make: () => new Swin({ ...miniSwin, windows: 4, fit: 'pad' }), naming: torchvisionSwin(2) },
  tv_swin_mini_pad: { make: () => new Swin({ ...miniSwin, windows: 5, fit: 'pad' }), naming: torchvisionSwin(2) },
  swin_ms_mini: { make: () => new Swin({ ...miniSwin, windows: 4 }), naming: microsoftSwin, gate: swinGate(() => true) },
  flatten_swin_mini: { make: () => new Swin({ ...miniSwin, kinds: 'LS', windows: [16, 4] }), naming: microsoftSwin, gate: swinGate((stage) => stage === 1) },
  flatten_swin_mini_shift: { make: () => new Swin({ ...miniSwin, kinds: 'LL', windows: [8, 4] }), naming: microsoftSwin, gate: swinGate(() => false) },
  tv_resnet18_w8: { make: () => new ResNet({ width: 8, classes: 10 }), naming: resnet('fc') },
  tv_resnet_bottleneck_w4: { make: () => new ResNet({ width: 4, layers: [1, 2, 1, 1], block: 'bottleneck', classes: 10 }), naming: resnet('fc') },
  cifar_resnet8_w8: { make: () => new ResNet({ width: 8, layers: [1, 1, 1], classes: 10, stem: 'cifar' }), naming: resnet('linear'), gate: convGate },
  tv_vgg11_d8: { make: () => new VGG({ plan: vggPlan(8), hidden: [48, 48], classes: 10 }), naming: torchvisionVGG(vggPlan(8), false) },
  tv_vgg11_bn_d16: { make: () => new VGG({ plan: vggPlan(16), hidden: [32, 32], classes: 10, batchNorm: true }), naming: torchvisionVGG(vggPlan(16), true) },
  resnet20_cifar8: { make: () => cifarResNet(20), naming: resnet('linear'), weights: 'resnet20_cifar10', gate: convGate },
  resnet32_cifar8: { make: () => cifarResNet(32), naming: resnet('linear'), weights: 'resnet32_cifar10', gate: convGate },
  tiny_vgg_8: { make: () => tinyVGG(), naming: tinyVGGNames, weights: 'tiny_vgg',
    gate: (unit) => ({ conv_1_1: 'layers.0.gate', conv_1_2: 'layers.1.gate', conv_2_1: 'layers.3.gate', conv_2_2: 'layers.4.gate' })[unit]! },
  mnist_vit_postnorm_8: { make: () => new ViT({ image: 28, patch: 7, channels: 1, width: 32, depth: 1, heads: 1, hidden: 64, classes: 10, eps: 1e-5, norm: 'post', classToken: false }),
    naming: timmViT, weights: 'mnist_vit_postnorm', gate: vitGate },
}

const index = JSON.parse(readFileSync(new URL('fixtures/golden/index.json', import.meta.url), 'utf8')) as Record<string, { f32_vs_f64?: Record<string, [number, number]> }>

function load({ make, naming, weights }: ModelCase, file: Golden): Model {
  const model = make()
  const source = weights ? weightFile(weights) : new Map([...Object.entries(file.group('param.')), ...Object.entries(file.group('buffer.'))])
  loadWeights(model, naming, source as never)
  return model
}

function weightFile(name: string) {
  const bytes = readFileSync(`${shared}/data/weights/${name}.safetensors`)
  const length = Number(bytes.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, { shape: number[], data_offsets: [number, number] }>
  return new Map(Object.entries(header).map(([key, { shape, data_offsets: [first, end] }]) =>
    [key, { shape, data: new Float32Array(Uint8Array.from(bytes.subarray(8 + length + first, 8 + length + end)).buffer) }]))
}

function input(file: Golden): Tensor {
  if (file.has('input')) {
    const { data, shape } = file.get('input')
    return tensor(Float32Array.from(data), shape)
  }
  const { data, shape } = file.get('input_u8')
  const mean = JSON.parse(file.metadata.mean) as number[], std = JSON.parse(file.metadata.std) as number[]
  const pixels = shape[2] * shape[3]
  return tensor(Float32Array.from(data, (value, i) => {
    const channel = Math.floor(i / pixels) % shape[1]
    return (value / 255 - mean[channel]) / std[channel]
  }), shape)
}

/**
 * |a - b| within 1e-5 of the tensor's largest value, or within 20 times the difference that PyTorch's own float32 run shows in
 * that group of tensors (index.json), whichever is larger.
 */
function compare(name: string, got: ArrayLike<number>, want: ArrayLike<number>, noise: [number, number] | undefined) {
  const largest = Array.from(want).reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  const allowed = Math.max(1e-5, 20 * (noise?.[0] ?? 0) / (largest || 1))
  expect(relativeError(got, want), name).toBeLessThanOrEqual(largest ? allowed : allowed * (noise?.[1] ?? 1))
}

async function compareMode(file: Golden, name: string, mode: 'eval' | 'train', model: Model, naming: Naming) {
  const noise = (group: string) => index[name]?.f32_vs_f64?.[`${mode}.${group}`] ?? index[name]?.f32_vs_f64?.[group]
  const labels = tensor(Int32Array.from(file.get('labels').data))
  const holder = { model, image: input(file) }
  const run = valueAndGradAux((held: typeof holder): [Tensor, Tensor] => {
    const logits = held.model.call(held.image, { training: mode === 'train' })
    return [crossEntropy(logits, labels), logits]
  })
  const [loss, grads, logits] = run(holder)
  compare('logits', await logits.data(), file.get(`${mode}.logits`).data, noise('logits'))
  compare('loss', await loss.data(), file.get(`${mode}.loss`).data, noise('loss'))
  compare('gradient of the input', await grads.image.data(), file.get(`${mode}.grad_input`).data, noise('grad_input'))
  const saved = await saveWeights(gradientsAsModel(model, grads.model), naming)
  for (const [published, { data }] of Object.entries(file.group(`${mode}.grad.`))) {
    expect([...saved.keys()], `gradient of ${published}`).toContain(published)
    compare(`gradient of ${published}`, saved.get(published)!.data, data, noise('grad'))
  }
  const masks = file.group(`${mode}.maskgrad.`)
  disposeTree([loss, grads, logits, holder.image, labels])
  return masks
}

/** Gradients under our paths; parameters without one (unused) count as zeros, running statistics as themselves. */
function gradientsAsModel(model: Model, grads: Model): unknown {
  const found = new Map(leaves(grads))
  const out: Record<string, Tensor> = {}
  for (const [path, leaf] of leaves(model)) out[path] = found.get(path) ?? leaf
  for (const [path, leaf] of parameters(model)) if (!found.has(path)) out[path] = tensor(new Float32Array(leaf.size), leaf.shape)
  return new Map(Object.entries(out))
}

function gates(model: unknown, path = ''): Map<string, Gate> {
  const out = new Map<string, Gate>()
  if (model instanceof Gate) out.set(path, model)
  else if (typeof model === 'object' && model !== null && !ArrayBuffer.isView(model)) {
    for (const [name, child] of Object.entries(model)) for (const [at, gate] of gates(child, path ? `${path}.${name}` : name)) out.set(at, gate)
  }
  return out
}

describeDevice('models', () => {
  for (const [name, definition] of Object.entries(cases)) {
    test.skipIf(!hasGolden(name) || (definition.weights !== undefined && !hasGolden('resnet20_cifar8')))(`${name} equals PyTorch`, async () => {
      const file = golden(name)
      const model = load(definition, file)
      await compareMode(file, name, 'eval', model, definition.naming)
      if (file.has('train.logits')) {
        await compareMode(file, name, 'train', model, definition.naming)
        const after = await saveWeights(model, definition.naming)
        for (const [published, { data }] of Object.entries(file.group('train.buffer.'))) compare(published, after.get(published)!.data, data, [1e-6, 1])
      }
      disposeTree(model)
    })

    test.skipIf(!definition.gate || !hasGolden(name))(`${name}: mask gradients and pruned logits`, async () => {
      const file = golden(name)
      const model = load(definition, file)
      const all = gates(model)
      const units = file.names('eval.maskgrad.').map((key) => key.slice('eval.maskgrad.'.length))
      for (const unit of units) {
        const { shape, data } = file.get(`eval.maskgrad.${unit}`)
        all.get(definition.gate!(unit))!.mask = tensor(new Float32Array(data.length).fill(1), shape)
      }
      const labels = tensor(Int32Array.from(file.get('labels').data)), image = input(file)
      const [, grads] = valueAndGradAux((held: Model): [Tensor, null] => [crossEntropy(held.call(image), labels), null])(model)
      const found = new Map(leaves(grads))
      const noise = index[name]?.f32_vs_f64
      for (const unit of units) {
        compare(`mask gradient of ${unit}`, await found.get(`${definition.gate!(unit)}.mask`)!.data(), file.get(`eval.maskgrad.${unit}`).data,
          noise?.['eval.maskgrad'] ?? noise?.maskgrad)
        all.get(definition.gate!(unit))!.mask!.write(Float32Array.from(file.get(`prune.mask.${unit}`).data))
      }
      const pruned = scope(() => model.call(image))
      compare('pruned logits', await pruned.data(), file.get('prune.logits').data, noise?.['eval.logits'] ?? noise?.logits)
      disposeTree([model, grads, image, labels, pruned])
    })
  }
})

// The golden model files and how to build their models: shared by the tests of models, attribution and pruning.
import { readFileSync } from 'node:fs'
import { cifarResNet, ResNet, Swin, tinyVGG, VGG, ViT } from '../../models/index.ts'
import { type Context, type Tensor, tensor } from '../../src/index.ts'
import { loadWeights, microsoftSwin, type Naming, resnet, timmViT, torchvisionSwin, torchvisionVGG, torchvisionViT,
  tinyVGG as tinyVGGNames } from '../../src/checkpoint/weights.ts'
import { type Golden, shared } from './golden.ts'

/** A network under test. */
export interface Model {
  call(image: Tensor, context?: Context): Tensor
}

/** How to build the model of a golden file. */
export interface ModelCase {
  make: () => Model
  naming: Naming
  /** The file in shared/data/weights whose parameters the golden belongs to, where it holds none itself. */
  weights?: string
  /** A golden's unit (`blocks.0.heads`) as the path of its gate. */
  gate?: (unit: string) => string
  /** A second golden file of the same run, for more gradients. */
  more?: string
  /**
   * A tolerance for the gradients of one mode, where rounding decides on which side of a kink a value lies; say why.
   */
  kinks?: { mode: 'eval' | 'train', tolerance: number }
  /** Milliseconds a test may take on a busy machine. */
  patience?: number
}

const vitGate = (unit: string) => unit.replace('.heads', '.attention.heads').replace('.mlp', '.mlp.hidden')
const swinGate = (softmax: (stage: number) => boolean) => (unit: string) => {
  const [, stage, number, kind] = /^layers\.(\d)\.blocks\.(\d)\.(\w+)$/.exec(unit)!
  const place = kind === 'mlp' ? 'mlp.hidden' : softmax(Number(stage)) ? 'attention.inner.heads' : 'attention.heads'
  return `stages.${stage}.blocks.${number}.${place}`
}
const convGate = (unit: string) =>
  unit.replace(/^layer(\d)\.(\d)\.conv1$/, (_, stage, number) => `stages.${stage - 1}.${number}.inner.0`)
const vggPlan = (divisor: number) =>
  [64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512, 'pool', 512, 512, 'pool']
    .map((step) => typeof step === 'number' ? step / divisor : 'pool' as const)
const mini = { image: 32, patch: 4, width: 48, depth: 2, heads: 3, hidden: 96, classes: 10 }
const miniSwin = { image: 32, patch: 2, width: 24, depths: [2, 2], heads: [2, 4], classes: 10 }

/** The golden files with a model, by name. */
export const modelCases: Record<string, ModelCase> = {
  tv_vit_mini: { make: () => new ViT(mini), naming: torchvisionViT },
  deit_mini: { make: () => new ViT(mini), naming: timmViT, gate: vitGate },
  deit_distilled_mini: { make: () => new ViT({ ...mini, distilled: true }), naming: timmViT, gate: vitGate },
  tv_swin_mini: { make: () => new Swin({ ...miniSwin, windows: 4, fit: 'pad' }), naming: torchvisionSwin(2) },
  tv_swin_mini_pad: { make: () => new Swin({ ...miniSwin, windows: 5, fit: 'pad' }), naming: torchvisionSwin(2) },
  swin_ms_mini: {
    make: () => new Swin({ ...miniSwin, windows: 4 }),
    naming: microsoftSwin,
    gate: swinGate(() => true),
  },
  flatten_swin_mini: {
    make: () => new Swin({ ...miniSwin, kinds: 'LS', windows: [16, 4] }),
    naming: microsoftSwin,
    gate: swinGate((stage) => stage === 1),
  },
  flatten_swin_mini_shift: {
    make: () => new Swin({ ...miniSwin, kinds: 'LL', windows: [8, 4] }),
    naming: microsoftSwin,
    gate: swinGate(() => false),
  },
  tv_resnet18_w8: { make: () => new ResNet({ width: 8, classes: 10 }), naming: resnet('fc') },
  tv_resnet_bottleneck_w4: {
    make: () => new ResNet({ width: 4, layers: [1, 2, 1, 1], block: 'bottleneck', classes: 10 }),
    naming: resnet('fc'),
  },
  cifar_resnet8_w8: {
    make: () => new ResNet({ width: 8, layers: [1, 1, 1], classes: 10, stem: 'cifar' }),
    naming: resnet('linear'),
    gate: convGate,
  },
  tv_vgg11_d8: {
    make: () => new VGG({ plan: vggPlan(8), hidden: [48, 48], classes: 10 }),
    naming: torchvisionVGG(vggPlan(8), false),
  },
  tv_vgg11_bn_d16: {
    make: () => new VGG({ plan: vggPlan(16), hidden: [32, 32], classes: 10, batchNorm: true }),
    naming: torchvisionVGG(vggPlan(16), true),
  },
  // In training mode one pre-activation of image 2 lies within f32 rounding of relu's kink: the gradient of 14 x 14
  // pixels around it differs by up to 1.8 %, and through the batch statistics that of all other images by 1e-4. Logits,
  // loss and statistics agree.
  resnet20_cifar8: {
    make: () => cifarResNet(20),
    naming: resnet('linear'),
    weights: 'resnet20_cifar10',
    gate: convGate,
    kinks: { mode: 'train', tolerance: 2e-2 },
  },
  resnet32_cifar8: {
    make: () => cifarResNet(32),
    naming: resnet('linear'),
    weights: 'resnet32_cifar10',
    gate: convGate,
  },
  // Two values that a relu or a pool compares are equal but for rounding: the gradient of 6 x 6 pixels of image 5
  // differs by 8e-4.
  tiny_vgg_8: {
    kinks: { mode: 'eval', tolerance: 2e-3 },
    make: () => tinyVGG(),
    naming: tinyVGGNames,
    weights: 'tiny_vgg',
    gate: (unit) =>
      ({ conv_1_1: 'layers.0.gate', conv_1_2: 'layers.1.gate', conv_2_1: 'layers.3.gate', conv_2_2: 'layers.4.gate' })[
        unit
      ]!,
  },
  deit_tiny_imagenet8: {
    make: () => new ViT(),
    naming: timmViT,
    weights: 'deit_tiny_patch16_224',
    gate: vitGate,
    more: 'deit_tiny_imagenet8_grads',
    patience: 600_000,
  },
  mnist_vit_postnorm_8: {
    make: () =>
      new ViT({
        image: 28,
        patch: 7,
        channels: 1,
        width: 32,
        depth: 1,
        heads: 1,
        hidden: 64,
        classes: 10,
        eps: 1e-5,
        norm: 'post',
        classToken: false,
      }),
    naming: timmViT,
    weights: 'mnist_vit_postnorm',
    gate: vitGate,
  },
}

/** The model of a case with the golden's weights. */
export function loadModel({ make, naming, weights }: ModelCase, file: Golden): Model {
  const model = make()
  const source = weights
    ? weightFile(weights)
    : new Map([...Object.entries(file.group('param.')), ...Object.entries(file.group('buffer.'))])
  loadWeights(model, naming, source as never)
  return model
}

function weightFile(name: string) {
  const bytes = readFileSync(`${shared}/data/weights/${name}.safetensors`)
  const length = Number(bytes.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    { shape: number[], data_offsets: [number, number] }
  >
  return new Map(
    Object.entries(header).map((
      [key, { shape, data_offsets: [first, end] }],
    ) => [key, {
      shape,
      data: new Float32Array(Uint8Array.from(bytes.subarray(8 + length + first, 8 + length + end)).buffer),
    }]),
  )
}

/** The golden's input images, normalised. */
export function goldenInput(file: Golden): Tensor {
  if (file.has('input')) {
    const { data, shape } = file.get('input')
    return tensor(Float32Array.from(data), shape)
  }
  const { data, shape } = file.get('input_u8')
  const mean = JSON.parse(file.metadata.mean) as number[], std = JSON.parse(file.metadata.std) as number[]
  const pixels = shape[2] * shape[3]
  return tensor(
    Float32Array.from(data, (value, i) => {
      const channel = Math.floor(i / pixels) % shape[1]
      return (value / 255 - mean[channel]) / std[channel]
    }),
    shape,
  )
}

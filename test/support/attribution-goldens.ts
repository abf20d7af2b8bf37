// Small networks with PyTorch's weights, as models.test.ts loads them: one of each family.
import { ResNet, Swin, VGG, ViT } from '../../models/index.ts'
import { tensor, type Tensor } from '../../src/index.ts'
import type { Model } from '../../src/nn/model.ts'
import { loadWeights, microsoftSwin, type Naming, resnet, timmViT, torchvisionSwin,
  torchvisionVGG } from '../../src/checkpoint/weights.ts'
import { golden } from './golden.ts'

const plan = (divisor: number) =>
  [64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512, 'pool', 512, 512, 'pool']
    .map((step) => typeof step === 'number' ? step / divisor : 'pool' as const)
const mini = { image: 32, patch: 4, width: 48, depth: 2, heads: 3, hidden: 96, classes: 10 }
const miniSwin = { image: 32, patch: 2, width: 24, depths: [2, 2], heads: [2, 4], classes: 10 }

const cases = {
  deit_mini: { make: () => new ViT(mini), naming: timmViT },
  deit_distilled_mini: { make: () => new ViT({ ...mini, distilled: true }), naming: timmViT },
  tv_swin_mini_pad: { make: () => new Swin({ ...miniSwin, windows: 5, fit: 'pad' }), naming: torchvisionSwin(2) },
  flatten_swin_mini: { make: () => new Swin({ ...miniSwin, kinds: 'LS', windows: [16, 4] }), naming: microsoftSwin },
  tv_resnet_bottleneck_w4: {
    make: () => new ResNet({ width: 4, layers: [1, 2, 1, 1], block: 'bottleneck', classes: 10 }),
    naming: resnet('fc'),
  },
  tv_vgg11_bn_d16: {
    make: () => new VGG({ plan: plan(16), hidden: [32, 32], classes: 10, batchNorm: true }),
    naming: torchvisionVGG(plan(16), true),
  },
} satisfies Record<string, { make: () => Model, naming: Naming }>

/** Names of the networks here. */
export type GoldenName = keyof typeof cases

/** All of them. */
export const goldenNames = Object.keys(cases) as GoldenName[]

/** A network with its weights, and a batch of images for it. */
export function loadGolden(name: GoldenName): { model: Model, images: Tensor } {
  const file = golden(name), { make, naming } = cases[name]
  const model: Model = make()
  loadWeights(
    model,
    naming,
    new Map([...Object.entries(file.group('param.')), ...Object.entries(file.group('buffer.'))]) as never,
  )
  const { data, shape } = file.get('input')
  return { model, images: tensor(Float32Array.from(data), shape) }
}

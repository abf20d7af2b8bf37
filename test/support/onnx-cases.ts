// Small networks of every family, with seeded weights, for what is written as ONNX.
import { FlattenPVT, MLP, ResNet, Swin, tinyVGG, VGG, ViT } from '../../models/index.ts'
import { fillNormal, leaves, type Model } from '../../src/index.ts'

/** A network and the images it takes, [channels, y, x]. */
export interface OnnxCase {
  make: () => Model
  image: readonly [number, number, number]
}

const mini = { image: 16, patch: 4, width: 24, depth: 2, heads: 3, hidden: 40, classes: 7 }
const miniSwin = { image: 32, patch: 2, width: 12, depths: [2, 2], heads: [2, 4], classes: 5 }

/** One of each family and of what is special in it. */
export const onnxCases: Readonly<Record<string, OnnxCase>> = {
  mlp: { make: () => new MLP({ inputs: 49, hidden: [12, 9], classes: 4 }), image: [1, 7, 7] },
  vit: { make: () => new ViT(mini), image: [3, 16, 16] },
  'vit distilled, post-norm': { make: () => new ViT({ ...mini, distilled: true, norm: 'post' }), image: [3, 16, 16] },
  'vit focused': { make: () => new ViT({ ...mini, attention: 'focused', classToken: false }), image: [3, 16, 16] },
  swin: { make: () => new Swin({ ...miniSwin, windows: 4 }), image: [3, 32, 32] },
  'swin padded': { make: () => new Swin({ ...miniSwin, windows: 5, fit: 'pad' }), image: [3, 32, 32] },
  'flatten-swin': { make: () => new Swin({ ...miniSwin, kinds: 'LS', windows: [16, 4] }), image: [3, 32, 32] },
  pvt: {
    make: () =>
      new FlattenPVT({
        image: 32,
        patches: [4, 2],
        widths: [8, 12],
        depths: [1, 1],
        heads: [1, 2],
        ratios: [2, 2],
        classes: 5,
      }),
    image: [3, 32, 32],
  },
  vgg: {
    make: () => new VGG({ plan: [6, 'pool', 8, 10, 'pool'], side: 3, hidden: [11], classes: 5, batchNorm: true }),
    image: [3, 21, 21],
  },
  'tiny-vgg': { make: () => tinyVGG({ side: 3, channels: 3 }), image: [3, 24, 24] },
  resnet: { make: () => new ResNet({ layers: [1, 1], width: 6, classes: 5, block: 'bottleneck' }), image: [3, 33, 33] },
  'resnet cifar': {
    make: () => new ResNet({ layers: [1, 2, 1], width: 6, classes: 5, stem: 'cifar' }),
    image: [3, 17, 17],
  },
}

/** A network with weights of a size at which every part of it matters; variances stay positive. */
export function seeded({ make }: OnnxCase, seed = 1): Model {
  const model = make()
  for (const [path, leaf] of leaves(model)) {
    if (leaf.dtype !== 'f32' || path.endsWith('mask')) continue
    const values = fillNormal(new Float32Array(leaf.size), seed, path, 0.25)
    if (/variance$|gain$/.test(path)) values.forEach((value, i) => values[i] = 1 + Math.abs(value))
    leaf.write(values)
  }
  return model
}

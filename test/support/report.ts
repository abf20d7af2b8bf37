// Reports made up for tests: nothing in them was measured.
import { encode } from 'fast-png'
import type { Curve, Report } from '../../src/report/types.ts'

const rates = Array.from({ length: 20 }, (_, i) => i / 20)

function curve(name: string, halfway: number, seeds: number): Curve {
  const points = rates.map((rate) => {
    const top1 = 0.721 / (1 + Math.exp(12 * (rate - halfway))) + 0.001
    const spread = seeds > 1 ? 0.06 * Math.sin(Math.PI * rate) : undefined
    return {
      rate,
      top1,
      ...spread === undefined ? {} : { low: top1 - spread, high: top1 + spread },
      seeds,
      macs: 1.25e9 * (1 - 0.6 * rate),
      params: Math.round(5.7e6 * (1 - 0.6 * rate)),
      msPerImage: 20 - 9 * rate,
    }
  })
  const area = points.reduce((sum, { top1 }) => sum + top1, 0) / points.length
  return {
    name,
    area,
    ...seeds > 1 ? { areaError: 0.012 } : {},
    trapezoid: 0.95 * area,
    topRate: halfway - 0.2,
    points,
  }
}

/** A picture with a gradient, so that before and after differ. */
const png = (phase: number) =>
  encode({
    width: 96,
    height: 64,
    channels: 3,
    data: Uint8Array.from({ length: 96 * 64 * 3 }, (_, i) => (i * (3 + phase)) % 256),
  })

/** A report with every part. */
export const sampleReport = (): Report => ({
  title: 'DeiT-Tiny pruned by relevance to half the multiply-adds',
  model: '/data/weights/deit_tiny_patch16_224.safetensors',
  data: 'images:/data/imagenet/train150.json',
  test: 'images:/data/imagenet/val300.json',
  method: 'pxp-epsilon',
  rate: 0.5,
  command: 'espalier prune /data/weights/deit_tiny_patch16_224.safetensors --method pxp-epsilon --data '
    + 'images:/data/imagenet/train150.json --macs 0.5 --units heads,neurons '
    + '--out small.safetensors --test images:/data/imagenet/val300.json --report report.html --seed 3',
  seed: 3,
  adapter: 'embedded device (cpu), 2 threads',
  version: '0.1.0',
  before: {
    top1: 0.721,
    top5: 0.911,
    loss: 1.2185,
    images: 300,
    params: 5_717_416,
    macs: 1_254_000_000,
    bytes: 22_900_000,
    msPerImage: 41.2,
    imagesPerSecond: 24.3,
  },
  after: {
    top1: 0.6033,
    top5: 0.84,
    loss: 1.7,
    images: 300,
    params: 3_012_345,
    macs: 627_000_000,
    bytes: 12_100_000,
    msPerImage: 21.9,
    imagesPerSecond: 45.7,
  },
  units: Array.from({ length: 12 }, (_, i) => [
    { name: `blocks.${i}.attention.heads`, size: 3, kept: 1 + i % 3 },
    { name: `blocks.${i}.mlp.hidden`, size: 768, kept: 768 - 56 * ((i * 7) % 12) },
  ]).flat(),
  curves: [
    curve('random', 0.32, 5),
    curve('pxp-epsilon', 0.7, 1),
    curve('pxp-attn-lrp', 0.62, 1),
    curve('pxp-z-plus', 0.57, 1),
    curve('magnitude', 0.45, 1),
    curve('taylor', 0.6, 1),
  ],
  heatmaps: [{ name: 'n01443537_goldfish.jpg: goldfish', before: png(0), after: png(1) }, {
    name: 'tabby.jpg: tabby cat',
    before: png(2),
    after: png(3),
  }],
  notes: [
    'Scores are the mean over 150 images of the training split.',
    'The file was reloaded and agrees with the masked model to 3.1e-6.',
  ],
})

/** A report with nothing that may be absent. */
export const minimal: Report = {
  title: 'vit',
  model: 'vit',
  data: 'd',
  command: 'espalier prune',
  seed: 0,
  adapter: 'cpu',
  version: '0.1.0',
  before: { params: 5_717_416, macs: 10 },
  units: [],
}

/** The full report with markup in every text. */
export function hostile(): Report {
  const bad = '<script>alert(1)</script>" onload="x" \' & </style></title>]]>'
  const spoil = <T>(value: T): T =>
    typeof value === 'string' ? bad as T : Array.isArray(value)
      ? value.map(spoil) as T
      : typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
      ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, spoil(each)])) as T
      : value
  return spoil(sampleReport())
}

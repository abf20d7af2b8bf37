// The packaged digits as networks read them, and networks for them that are small enough to be pruned in a test.
import { Swin, ViT } from '../../models/index.ts'
import { type Dataset, openDataset } from '../../src/data/datasets.ts'
import { initialize } from '../../src/nn/init.ts'
import { digits } from './model.ts'

/** How their pixels are prepared. */
export const digitPreprocessing = {
  resize: null,
  crop: null,
  interpolation: 'bilinear',
  mean: [0.5],
  std: [0.5],
  channels: 1,
  cropRounding: 'floor',
} as const

/** The digits from one to another, both included. */
export const openDigits = (first: number, last: number): Promise<Dataset> =>
  openDataset(digits(first, last), { preprocessing: digitPreprocessing, classes: 10 })

/** Two blocks on 16 patches, initialised; `options` replace what they name. */
export const digitViT = (options: Partial<ConstructorParameters<typeof ViT>[0]> = {}): ViT =>
  initialize(
    new ViT({ image: 28, patch: 7, channels: 1, width: 16, depth: 2, heads: 4, hidden: 24, classes: 10, ...options }),
    3,
    'mimetic',
  )

/** One stage of two blocks in windows of 2 x 2. */
export const digitSwinOptions = {
  image: 28,
  patch: 7,
  channels: 1,
  width: 12,
  depths: [2],
  heads: [3],
  windows: 2,
  kinds: 'S',
  ratio: 2,
} as const

/** Such a network, initialised; `options` replace what they name. */
export const digitSwin = (options: Partial<ConstructorParameters<typeof Swin>[0]> = {}): Swin =>
  initialize(
    new Swin({ ...digitSwinOptions, classes: 10, ...options }),
    3,
    { std: 0.2 },
  )

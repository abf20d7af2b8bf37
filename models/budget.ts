// How large a network of an architecture would be, reckoned from its options before anything is built: what a
// stranger's file or flag asks for must not run for minutes or fill the memory first.
import { InputError } from '../src/base/errors.ts'
import type { Architecture, Family } from './registry.ts'

/** As many float32 as the largest file that is read holds. */
const MOST_PARAMETERS = 2 ** 30
/** Entries of relative positions and window masks, which are made on the host: 1 GB. */
const MOST_ENTRIES = 2 ** 28
/** Blocks or layers; published networks have at most about 200. */
const MOST_BLOCKS = 1024

/** What a network takes. */
interface Size {
  blocks: number
  parameters: number
  /** Entries of tables that follow from sizes. */
  tables: number
}

type Options = Record<string, number & number[] & string & boolean & ('pool' | number)[]>

const sum = (list: readonly number[]) => list.reduce((total, each) => total + each, 0)

/** Weights of a transformer block: queries, keys, values, projection, and a hidden layer. */
const block = (width: number, hidden: number) => 4 * width ** 2 + 2 * width * hidden

const chain = (widths: readonly number[], area = 1) => sum(widths.slice(1).map((width, i) => width * widths[i] * area))

// Options that are not given count with the defaults of the smallest network of the family.
const sizes: Readonly<Record<Exclude<Family, 'onnx'>, (options: Options) => Size>> = {
  vit({ image = 224, patch = 16, channels = 3, width = 192, depth = 12, hidden = 768, classes = 1000 }) {
    const tokens = Math.floor(image / patch) ** 2
    return {
      blocks: depth,
      parameters: depth * block(width, hidden) + width * (tokens + channels * patch ** 2 + classes),
      tables: 0,
    }
  },
  swin(options) {
    const { image = 224, patch = 4, channels = 3, width = 96, windows = 7, ratio = 4, classes = 1000 } = options
    const depths = options.depths as readonly number[] | undefined ?? [2, 2, 6, 2], kinds = options.kinds ?? ''
    let side = Math.floor(image / patch), parameters = width * channels * patch ** 2, tables = 0
    for (const [stage, depth] of depths.entries()) {
      const wide = width * 2 ** stage, window = Math.min([windows].flat()[stage] ?? [windows].flat()[0], side)
      parameters += depth * block(wide, wide * ratio) + 8 * wide ** 2
      if (kinds[stage] !== 'L') tables += depth * (window ** 4 + (side * window) ** 2 / 2)
      side = Math.ceil(side / 2)
    }
    return { blocks: sum(depths), parameters: parameters + classes * width * 2 ** (depths.length - 1), tables }
  },
  pvt(options) {
    const { image = 224, channels = 3, classes = 1000 } = options
    const widths = options.widths as readonly number[] | undefined ?? [64, 128, 320, 512]
    const depths = options.depths as readonly number[] | undefined ?? [2, 2, 2, 2]
    const patches = options.patches as readonly number[] | undefined ?? [4, 2, 2, 2]
    const ratios = options.ratios as readonly number[] | undefined ?? [8, 8, 4, 4]
    let side = image, before: number = channels, parameters = 0
    for (const [stage, width] of widths.entries()) {
      side = Math.floor(side / patches[stage])
      parameters += depths[stage] * block(width, width * ratios[stage])
        + width * (before * patches[stage] ** 2 + side ** 2)
      before = width
    }
    return { blocks: sum(depths), parameters: parameters + classes * before, tables: 0 }
  },
  vgg(options) {
    const { channels = 3, side = 7, classes = 1000 } = options
    const plan = (options.plan as readonly ('pool' | number)[] | undefined ?? [64]).filter((step) => step !== 'pool')
    const hidden = options.hidden as readonly number[] | undefined ?? []
    return {
      blocks: plan.length + hidden.length,
      parameters: chain([channels, ...plan], 9) + chain([plan.at(-1)! * side ** 2, ...hidden, classes]),
      tables: 0,
    }
  },
  resnet(options) {
    const { width = 16, classes = 10, channels = 3 } = options
    const layers = options.layers as readonly number[] | undefined ?? [2, 2, 2, 2]
    const stages = layers.map((count, stage) => count * 18 * (width * 2 ** stage) ** 2)
    return {
      blocks: sum(layers),
      parameters: sum(stages) + width * channels * 49 + classes * width * 2 ** (layers.length - 1),
      tables: 0,
    }
  },
  mlp(options) {
    const { inputs = 784, classes = 10 } = options, hidden = options.hidden as readonly number[] | undefined ?? []
    return { blocks: hidden.length + 1, parameters: chain([inputs, ...hidden, classes]), tables: 0 }
  },
}

/**
 * Refuses an architecture, its options checked, that is too large to build: more than 1024 blocks, `most` (2^30)
 * parameters or 2^28 entries of position tables; or of more blocks than the file it describes has `tensors`. `source`
 * is what messages call it. @throws InputError with the figure.
 */
export function checkBudget(
  family: Family,
  { type, ...options }: Architecture,
  source: string,
  tensors = Infinity,
  most = MOST_PARAMETERS,
): void {
  if (family === 'onnx') return // its options say the shape of every tensor, and were counted
  const { blocks, parameters, tables } = sizes[family](options as Options)
  const refuse = (what: string, limit: string) => {
    throw new InputError(`${source}: ${type} as described has ${what}, expected at most ${limit}; check its sizes`)
  }
  const figure = (value: number) => value < 1e6 ? String(Math.round(value)) : value.toExponential(1).replace('e+', 'e')
  if (blocks > MOST_BLOCKS) refuse(`${figure(blocks)} blocks`, String(MOST_BLOCKS))
  if (blocks > tensors) refuse(`${blocks} blocks`, `as many as the file has tensors, which is ${tensors}`)
  if (!(parameters <= most)) refuse(`about ${figure(parameters)} parameters`, figure(most))
  if (!(tables <= MOST_ENTRIES)) {
    refuse(`about ${figure(tables)} entries of window positions and masks`, figure(MOST_ENTRIES))
  }
}

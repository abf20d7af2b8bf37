// Depthwise convolution of planes staged in workgroup memory, for the embedded device: the window of a plane, as its
// kernels want it, and their launches.
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { sumSplits } from '../shared/split-sum.ts'
import type { Machine } from '../shared/variants.ts'
import type { DepthwiseWork } from './depthwise-kernels.ts'

/** What kernels have as constants of their text. */
const defaults = {
  TAPS_X: 3,
  ROWS: 3,
  STRIDE_Y: 1,
  STRIDE_X: 1,
  DILATION_Y: 1,
  DILATION_X: 1,
  STEP_Y: 1,
  STEP_X: 1,
  PARTS_Y: 1,
  PARTS_X: 1,
  QUADS: 2,
}
type Constants = Record<keyof typeof defaults, number>

const tileParams = [
  'channels',
  'source_rows',
  'source_columns',
  'height',
  'width',
  'rows',
  'columns',
  'taps_y',
  'top',
  'left',
  'chunk',
  'chunks',
  'part_rows',
  'wide',
]
const store = {
  vectors: `for (var q = 0u; q < p.columns / 4u; q++) { y[to / 4u + q] = made[r * p.wide + q] + start; }`,
  entries: `for (var q = 0u; q < (p.columns + 3u) / 4u; q++) {
      let sums = made[r * p.wide + q] + start;
      y[to + 4u * q] = sums.x;
      if (4u * q + 1u < p.columns) { y[to + 4u * q + 1u] = sums.y; }
      if (4u * q + 2u < p.columns) { y[to + 4u * q + 2u] = sums.z; }
      if (4u * q + 3u < p.columns) { y[to + 4u * q + 3u] = sums.w; }
    }`,
}
const made = new Map<string, Kernel>()

function withConstants(
  file: string,
  constants: Constants,
  make: (splice: Record<string, string>, label: string) => Kernel,
) {
  const names = Object.keys(defaults) as (keyof Constants)[]
  const label = names.map((name) => `${name}=${constants[name]}`).join(' '), key = `${file} ${label}`
  let found = made.get(key)
  if (!found) {
    const splice = names.map((name) => [`const ${name} = ${defaults[name]}u;`, `const ${name} = ${constants[name]}u;`])
    made.set(key, found = make(Object.fromEntries(splice) as Record<string, string>, label))
  }
  return found
}

/** The kernel of the forward pass and of the gradient to the input, whose rows are whole vectors or not. */
export function stagedKernel(constants: Constants, vectors: boolean): Kernel {
  const file = 'conv2d/depthwise-staged.wgsl', how = vectors ? 'vectors' : 'entries'
  return withConstants(`${file} ${how}`, constants, (splice, label) =>
    kernel(file, {
      buffers: ['x', 'w', 'bias', 'y'],
      params: ['planes', ...tileParams, 'reverse', 'has_bias'],
      splice: { ...splice, '/*element*/f32': vectors ? 'vec4f' : 'f32', '/*store*/': store[how] },
      label: vectors ? label : `${label} unaligned`,
    }))
}

/** The kernel of the gradient to the weight. */
export function stagedWeightKernel(constants: Constants): Kernel {
  return withConstants(
    'conv2d/depthwise-staged-weight.wgsl',
    constants,
    (splice, label) =>
      kernel('conv2d/depthwise-staged-weight.wgsl', {
        buffers: ['x', 'dy', 'dw'],
        params: ['splits', 'per_split', 'batch', ...tileParams],
        splice,
        label,
      }),
  )
}

/** Vectors of a tile: what a near cache holds. One row of a wider image would not fit. */
const TILE_LIMIT = 2048
/** Bytes of workgroup memory that every device has. */
const LEAST_MEMORY = 16384
/** Taps of a kernel whose sums are kept beside the tile. */
const TAPS_LIMIT = 1024
/** Vectors that a turn of the innermost loop reads, for more of which its indices are not checked all at once. */
const READ_LIMIT = 11

/** How a plane is staged. */
export interface Stage {
  constants: Constants
  params: Record<string, number>
  /** Vectors of the tile, of the rows that are made and of the sums of taps: powers of two, so that sizes are few. */
  sizes: { TILE: number, MADE: number, TOTAL: number }
}

/** How the planes of some work are staged; null where they are not: a row of outputs wants too much memory. */
export function stageOf({ x, y, w, at, step: [STEP_Y, STEP_X] }: DepthwiseWork): Stage | null {
  const [, channels, source_rows, source_columns] = x, [, , rows, columns] = y, [, , taps_y, TAPS_X] = w
  const { stride: [STRIDE_Y, STRIDE_X], padding: [top, left], dilation: [DILATION_Y, DILATION_X] } = at
  const reachX = (TAPS_X - 1) * DILATION_X, reachY = (taps_y - 1) * DILATION_Y, further = Math.floor(reachX / STRIDE_X)
  const PARTS_Y = Math.min(STRIDE_Y, reachY + 1), PARTS_X = Math.min(STRIDE_X, reachX + 1)
  const QUADS = Math.floor((further + 3) / 4) + 1
  if (TAPS_X > 16 || TAPS_X * taps_y > TAPS_LIMIT || PARTS_X * QUADS > 16) return null
  const height = (source_rows - 1) * STEP_Y + 1, width = (source_columns - 1) * STEP_X + 1, needed = columns + further
  // Zeros behind a row are those before the next one.
  const wide = Math.ceil(
    (STRIDE_X > 1 ? needed : Math.max(columns, Math.min(needed, left + width), needed - Math.max(left, 0))) / 4,
  )
  const above = Math.floor(reachY / STRIDE_Y)
  const most = Math.floor((TILE_LIMIT - QUADS) / (wide * PARTS_X * PARTS_Y)) - above
  if (most < 1) return null
  const chunks = Math.ceil(rows / most), chunk = Math.ceil(rows / chunks), part_rows = chunk + above
  const reads = Array.from({ length: PARTS_X * QUADS }, (_, i) => [Math.floor(i / QUADS), i % QUADS])
    .filter(([part, n]) => n === 0 || part + STRIDE_X * (4 * n - 3) <= reachX).length
  const ROWS = taps_y * reads <= READ_LIMIT ? taps_y : 1
  const windows = { STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X, STEP_Y, STEP_X }
  return {
    constants: { TAPS_X, ROWS, ...windows, PARTS_Y, PARTS_X, QUADS },
    params: {
      channels,
      source_rows,
      source_columns,
      height,
      width,
      rows,
      columns,
      taps_y,
      top,
      left,
      chunk,
      chunks,
      part_rows,
      wide,
    },
    sizes: {
      TILE: power(PARTS_Y * PARTS_X * part_rows * wide + QUADS),
      MADE: power(chunk * wide),
      TOTAL: power(taps_y * TAPS_X),
    },
  }
}

/** Whether planes are staged at all, and in as much memory as the machine has. */
export function canStage({ kind }: Machine, work: DepthwiseWork): boolean {
  const stage = stageOf(work)
  if (!stage || kind === 'embedded') return stage !== null
  const { TILE, MADE, TOTAL } = stage.sizes
  return 16 * (TILE + MADE + TOTAL) <= LEAST_MEMORY
}

const power = (n: number): number => 2 ** Math.max(4, Math.ceil(Math.log2(n)))

/** Convolves x, or with a step dy, into y, which is of the shape that the work says. */
export function stagedPixels(work: DepthwiseWork, x: Tensor, w: Tensor, bias: Tensor | null): Tensor {
  const { constants, params, sizes: { TILE, MADE } } = stageOf(work)!,
    y = empty(work.y),
    planes = y.shape[0] * y.shape[1]
  launch(
    stagedKernel(constants, y.shape[3] % 4 === 0),
    { x, w, bias: bias ?? w, y },
    { ...params, planes, reverse: Number(work.reverse), has_bias: bias ? 1 : 0 },
    grid(planes * params.chunks),
    { overrides: { TILE, MADE }, flops: 2 * work.products },
  )
  return y
}

/** Gradient to the weight. */
export function stagedWeight(work: DepthwiseWork, x: Tensor, dy: Tensor): Tensor {
  const { constants, params, sizes } = stageOf(work)!, [batch, channels] = x.shape
  const pieces = batch * params.chunks, perSplit = Math.ceil(pieces / Math.min(pieces, Math.ceil(64 / channels)))
  const splits = Math.ceil(pieces / perSplit), partial = empty([splits, ...work.w])
  launch(
    stagedWeightKernel(constants),
    { x, dy, dw: partial },
    { ...params, splits, per_split: perSplit, batch },
    grid(splits * channels),
    { overrides: { ...sizes }, flops: 2 * work.products },
  )
  return sumSplits(partial, work.w)
}

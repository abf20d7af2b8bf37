// Launches of kernels/reduce.wgsl. Axes are merged into runs of kept and reduced ones; each run of reduced axes is one
// launch (two if it is long), the innermost first: along rows where it is last, down columns where kept axes follow.
import { sizeOf } from '../../base/shape.ts'
import { kernel } from '../../gpu/kernel.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { choose, type Variant, variants } from './variants.ts'

const options = {
  buffers: ['x', 'out'],
  params: ['outer', 'length', 'width', 'splits', 'per_split', 'factor'],
} as const
const alongRows = kernel('reduce.wgsl', { ...options, entry: 'rows' })
const downColumns = kernel('reduce.wgsl', { ...options, entry: 'columns' })

/** What a reduction computes: sums of squares, roots at the end, a factor on the result. */
export interface Steps {
  kind: 'sum' | 'max' | 'min'
  squared?: boolean
  root?: boolean
  factor?: number
}

/** Runs of kept and reduced axes, outermost first. */
function runsOf(shape: readonly number[], reduced: readonly boolean[]): { size: number, reduced: boolean }[] {
  const runs: { size: number, reduced: boolean }[] = []
  shape.forEach((size, axis) => {
    if (size === 1) return
    const last = runs.at(-1)
    if (last?.reduced === reduced[axis]) last.size *= size
    else runs.push({ size, reduced: reduced[axis] })
  })
  return runs
}

/** How a reduction is cut up. */
interface Cut extends Variant<null> {
  /** Invocations that share a row of `width` elements, out of `rows`. */
  readonly alongRow: (rows: number, width: number) => number
  /** Vectors side by side that a workgroup reads of each row; its other invocations take other rows. */
  readonly acrossColumns: (width: number) => number
  /** Rows of a column above which a sum is split, and how many then go to a split. */
  readonly columnSplit: readonly [above: number, perSplit: number]
}

const acrossColumns = (width: number) => (width > 16 ? 16 : width > 4 ? 4 : 1)

const reduceVariants = variants<null, Cut>('reduce', [
  {
    // Processors gain nothing from sharing, so a row gets as many as keep each one's sum to 128 vectors.
    name: 'for processors',
    numeric: 'reordered',
    adapters: ['software', 'embedded'],
    alongRow: (rows, width) => rows < 64 ? 64 : Math.min(64, 2 ** Math.ceil(Math.log2(Math.max(1, width / 512)))),
    acrossColumns: (width) => (width > 64 ? 64 : acrossColumns(width)),
    columnSplit: [512, 256],
  },
  {
    // A GPU wants all of them to read, with a few vectors each.
    name: 'for GPUs',
    numeric: 'reordered',
    alongRow: (rows, width) => (rows < 64 || width >= 512 ? 64 : width > 32 ? 8 : 1),
    acrossColumns,
    columnSplit: [128, 64],
  },
])

/**
 * Reduces the flagged axes of x; the result has `shape`. Factor and root belong to the last launch, the square to the
 * first.
 */
export function reduceAxes(
  x: Tensor,
  shape: readonly number[],
  flags: readonly boolean[],
  { kind, squared = false, root = false, factor = 1 }: Steps,
): Tensor {
  const cut = choose(reduceVariants, null)
  let runs = runsOf(x.shape, flags)
  if (!runs.some((run) => run.reduced)) runs.push({ size: 1, reduced: true }) // nothing to sum, but maybe to square
  let from = x
  for (let first = true; runs.some((run) => run.reduced); first = false) {
    const at = runs.findLastIndex((run) => run.reduced)
    const outer = sizeOf(runs.slice(0, at).map((run) => run.size)),
      inner = sizeOf(runs.slice(at + 1).map((run) => run.size))
    const { size } = runs[at]
    const byRows = at === runs.length - 1
    const [long, part] = byRows ? [16384, 8192] : cut.columnSplit
    const splits = size > long ? Math.ceil(size / part) : 1
    const perSplit = splits > 1 ? part : size
    runs = splits > 1 ? runs.with(at, { size: splits, reduced: true }) : runs.filter((_, i) => i !== at)
    const last = !runs.some((run) => run.reduced)
    const out = empty(last ? shape : runs.map((run) => run.size))
    const threads = byRows ? cut.alongRow(outer * splits, perSplit) : cut.acrossColumns(inner)
    const groups = byRows ? Math.ceil(outer * splits * threads / 64) : outer * splits * Math.ceil(inner / (4 * threads))
    launch(
      byRows ? alongRows : downColumns,
      { x: from, out },
      { outer, length: size, width: byRows ? size : inner, splits, per_split: perSplit, factor: last ? factor : 1 },
      grid(groups),
      {
        overrides: {
          KIND: { sum: 0, max: 1, min: 2 }[kind],
          SQUARE: squared && first ? 1 : 0,
          ROOT: root && last ? 1 : 0,
          THREADS: threads,
        },
        flops: from.size,
      },
    )
    from = out
  }
  return from
}

/** Sums `dy` over the axes along which `shape` was broadcast; `dy` itself where nothing was. Not recorded. */
export function unbroadcast(dy: Tensor, shape: readonly number[]): Tensor {
  const missing = dy.shape.length - shape.length
  const flags = dy.shape.map((n, axis) => n > 1 && (axis < missing || shape[axis - missing] === 1))
  if (!flags.includes(true)) return missing === 0 ? dy : dy.view(shape)
  return reduceAxes(dy, shape, flags, { kind: 'sum' })
}

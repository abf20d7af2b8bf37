// How alike the heads of a layer are, from images alone: no label is looked at.
//   B entries (images, or windows of images), H heads, N queries, M keys, E channels of a head
import { InputError } from '../../base/errors.ts'
import type { ScoreSums } from '../../attribution/relevance.ts'
import { copyInto, zeros } from '../../core/fill.ts'
import { type Call, record } from '../../core/tape.ts'
import { type Tensor, tensor } from '../../core/tensor.ts'
import { scope } from '../../core/transform.ts'
import type { Batch } from '../../data/datasets.ts'
import type { Gate } from '../../nn/gate.ts'
import { gatesOf } from '../../nn/gates.ts'
import type { Model } from '../../nn/model.ts'
import { attention, attentionMaps, type AttentionOptions } from '../../ops/attention/attention.ts'
import { abs, add, offset, overOrZero } from '../../ops/elementwise.ts'
import { matmul } from '../../ops/matmul/matmul.ts'
import { permute } from '../../ops/permute.ts'
import { norm, sum } from '../../ops/reduce.ts'
import { reshape } from '../../ops/reshape.ts'
import type { Unit } from '../units/units.ts'

/** What of a head is compared: where it looks (its attention maps), or what it says (its outputs). */
export const correlationSources = ['maps', 'outputs'] as const

/** One of `correlationSources`. */
export type CorrelationSource = typeof correlationSources[number]

/** Correlations of the heads of one unit, [H, H] in the order of its elements, symmetric. */
export interface HeadCorrelation {
  heads: number
  values: Float32Array
}

/** Images in batches: a data set, or any other source of them; labels are not read. */
export interface ImageBatches {
  batches(options: { size: number }): AsyncIterable<Pick<Batch, 'images' | 'shape'>>
}

/** Whose heads are compared, and on what. */
export interface CorrelationJob {
  model: Model
  /** Units of heads; others are passed over. */
  units: readonly Unit[]
  images: ImageBatches
  batch: number
  source: CorrelationSource
  /** Called with the number of images done. */
  onProgress?: (images: number) => void
}

/**
 * S_ij = mean over entries of cos(A_i, A_j), for every unit of heads by its name; of outputs the absolute cosine, since
 * a head that says the opposite of another is as redundant, and edges of a graph are not negative.
 * @throws InputError for a unit whose heads no attention makes.
 */
export async function headCorrelations(job: CorrelationJob): Promise<Map<string, HeadCorrelation>> {
  return correlationsOf(job.units, (await sumCorrelations(job)).sums)
}

/**
 * The sums of those cosines over the images, [H, H] in the order of the gate's axis, and behind them the number of
 * entries: those of parts of the images add up. @throws InputError as `headCorrelations`.
 */
export async function sumCorrelations(
  { model, units, images, batch, source, onProgress }: CorrelationJob,
): Promise<ScoreSums> {
  const own = units.filter(({ kind }) => kind === 'heads'), entries = new Map(own.map(({ name }) => [name, 0]))
  const sums = new Map(own.map(({ name, size }) => [name, zeros([size, size])]))
  let done = 0
  try {
    for await (const { images: pixels, shape } of images.batches({ size: batch })) {
      scope(() => {
        const input = tensor(pixels, shape)
        const { calls } = record(() => model.call(input), [], true)
        const found = attentionsOf(model, own, calls)
        for (const { name } of own) {
          const call = found.get(name)
          if (!call) throw new InputError(`${name}: its heads are of no attention, so they make no graph`)
          const cosines = cosinesOf(source === 'maps' ? mapsOf(call) : byHead(call.out), source === 'outputs')
          entries.set(name, entries.get(name)! + cosines.shape[0])
          copyInto(add(sums.get(name)!, sum(cosines, { axes: [0] })), sums.get(name)!)
        }
      })
      done += shape[0]
      onProgress?.(done)
    }
    const totals = new Map<string, Float64Array>()
    for (const { name } of own) {
      totals.set(name, Float64Array.from([...await sums.get(name)!.data(), entries.get(name)!]))
    }
    return { images: done, sums: totals }
  } finally {
    for (const total of sums.values()) total.dispose()
  }
}

/** What such sums come to. @throws InputError for those of other units. */
export function correlationsOf(
  units: readonly Unit[],
  sums: ReadonlyMap<string, Float64Array>,
): Map<string, HeadCorrelation> {
  return new Map(
    units.filter(({ kind }) => kind === 'heads').map(({ name, size, gates }) => {
      const total = sums.get(name), { element } = gates.at(-1)!, values = new Float32Array(size * size)
      if (total?.length !== size * size + 1) {
        throw new InputError(
          `${name}: expected sums of ${size} heads, found ${total?.length ?? 'none'}; they are of another network`,
        )
      }
      // The axis of a gate may hold the elements in another order.
      element.forEach((row, i) => {
        element.forEach((column, j) => {
          values[row * size + column] = total[i * size + j] / total[size * size]
        })
      })
      return [name, { heads: size, values }]
    }),
  )
}

/** Cosines of the heads of [B, H, ...], [B, H, H]; a head that is zero everywhere is like none. */
export function cosinesOf(x: Tensor, absolute = false): Tensor {
  const [entries, heads] = x.shape, flat = reshape(x, { shape: [entries, heads, -1] })
  const directions = overOrZero(flat, norm(flat, { axes: [-1], keep: true }))
  const cosines = matmul(directions, directions, { transposeB: true })
  return absolute ? abs(cosines) : cosines
}

/** The attention behind the heads of each unit: the last one before the gate that cuts them. */
function attentionsOf(model: Model, units: readonly Unit[], calls: readonly Call[]): Map<string, Call> {
  const paths = new Map(gatesOf(model).map(([path, gate]) => [gate, path]))
  const owners = new Map(units.flatMap(({ name, gates }) => gates.map(({ path }) => [path, name] as const)))
  const found = new Map<string, Call>()
  let last: Call | null = null
  for (const call of calls) {
    if (call.op.is('attention')) last = call
    const { at } = call.attrs as { at?: Gate }, owner = at && owners.get(paths.get(at) ?? '')
    if (!last || owner === undefined || at?.kind !== 'heads') continue
    found.set(owner, last)
    last = null
  }
  return found
}

/** The maps of an attention, [B, H, N, M]; of a linear one, which never makes them, what they would be. */
function mapsOf({ op, args: [q, k, , bias = null, mask = null], attrs }: Call): Tensor {
  if (op === attention.op) return attentionMaps(q!, k!, bias, mask, attrs as AttentionOptions)
  const { eps = 0 } = attrs as { eps?: number }
  const products = matmul(byHead(q!), byHead(k!), { transposeB: true })
  return overOrZero(products, offset(sum(products, { axes: [-1], keep: true }), { by: eps }))
}

/** [B, N, H, E] as [B, H, N, E]. */
const byHead = (x: Tensor): Tensor => permute(x, { order: [0, 2, 1, 3] })

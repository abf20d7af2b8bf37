// A linear layer at one density: our dense kernel, the dense kernel on a layer physically sliced to as many operations,
// and packed weights of one or more patterns, which take turns. Forward, gradient to the input, gradient to the kept
// values; each checked at sampled entries in doubles.
import { InputError } from '../../src/base/errors.ts'
import { fillNormal } from '../../src/base/random.ts'
import { quoted } from '../../src/base/quote.ts'
import { tensor, type Tensor, empty } from '../../src/core/tensor.ts'
import { scope, vjp } from '../../src/core/transform.ts'
import { linear } from '../../src/ops/matmul/linear.ts'
import { matmul } from '../../src/ops/matmul/matmul.ts'
import { sparseLinear } from '../../src/sparse/linear.ts'
import { tileMaskedLinear } from '../../src/sparse/masked.ts'
import type { MatrixShape, Packed, Pattern } from '../../src/sparse/pattern.ts'
import { sparseBack, sparseValues } from '../../src/sparse/product.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import type { Tile } from '../../src/sparse/tiles.ts'
import { SparseWeight } from '../../src/sparse/weight.ts'
import type { BenchCase, Subject } from '../harness.ts'
import { pickedAt, sampled } from '../sample.ts'
import type { LinearShape } from '../shapes.ts'

/** What of a linear layer is computed. */
export type SparseOp = 'forward' | 'dx' | 'dw'

/** All of it. */
export const sparseOps: readonly SparseOp[] = ['forward', 'dx', 'dw']

/** The layer's matrices, on the host and on the device, for all cases of one shape. */
export interface LayerData {
  layer: LinearShape
  shape: MatrixShape
  x: Float32Array
  dy: Float32Array
  weight: Float32Array
  tensors: { x: Tensor, dy: Tensor, weight: Tensor }
}

/** Random matrices of a layer, the same on every run. */
export function layerData(layer: LinearShape): LayerData {
  const { rows, inner, outer } = layer
  const values = (size: number, name: string) => fillNormal(new Float32Array(size), 1, name)
  const x = values(rows * inner, 'x')
  const dy = values(rows * outer, 'dy')
  const weight = values(outer * inner, 'weight')
  return {
    layer,
    shape: [outer, inner],
    x,
    dy,
    weight,
    tensors: {
      x: tensor(x, [rows, inner]),
      dy: tensor(dy, [rows, outer]),
      weight: tensor(weight, [outer, inner]),
    },
  }
}

/**
 * The case of one op and density. With a `masked` tile there is a dense weight times a mask too, which leaves as much.
 * @throws InputError naming the pattern that cannot have the shape, whose `keep` has another length, or whose `pack`
 * and `unpack` do not give back what was kept.
 */
export function sparseCase(
  data: LayerData,
  op: SparseOp,
  density: number,
  patterns: readonly Pattern[],
  masked: Tile | null = null,
): BenchCase {
  const { layer: { name, rows, inner, outer }, tensors } = data, dense = 2 * rows * inner * outer
  const sliced = Math.max(4, 4 * Math.round(density * outer / 4)), small = slicedTensors(data, sliced)
  return {
    suite: 'patterns',
    name: `${name} ${op}`,
    shape: `${rows}x${inner}x${outer}`,
    flops: dense,
    bytes: 4 * (rows * inner + outer * inner + rows * outer),
    expected: [],
    clock: 'device',
    baselines: ['dense', 'sliced'],
    subjects: [
      denseSubject('dense', op, data, tensors, outer, density),
      {
        ...denseSubject('sliced', op, data, small, sliced, density),
        flops: dense * sliced / outer,
        bytes: 4 * (rows * inner + sliced * inner + rows * sliced),
        denseFlops: dense,
        note: `${sliced} of ${outer} outputs`,
        dispose: () => {
          small.dy.dispose()
          small.weight.dispose()
        },
      },
      ...patterns.map((pattern) => patternSubject(pattern, op, data, density)),
      ...masked ? [maskedSubject(masked, op, data, density)] : [],
    ],
  }
}

/** The first outputs of the layer alone, as slicing leaves them. */
function slicedTensors({ layer: { rows, inner, outer }, dy, weight, tensors }: LayerData, kept: number) {
  const cut = Float32Array.from({ length: rows * kept }, (_, i) => dy[Math.floor(i / kept) * outer + i % kept])
  return {
    x: tensors.x,
    dy: tensor(cut, [rows, kept]),
    weight: tensor(weight.slice(0, kept * inner), [kept, inner]),
  }
}

/** A dense product over the first `outer` outputs. */
function denseSubject(
  impl: string,
  op: SparseOp,
  data: LayerData,
  { x, dy, weight }: LayerData['tensors'],
  outer: number,
  density: number,
): Subject {
  const { layer: { rows, inner } } = data
  const compute = {
    forward: () => linear(x, weight, null),
    dx: () => matmul(dy, weight),
    dw: () => matmul(dy, x, { transposeA: true }),
  }[op]
  const places = placesOf(op, rows, inner, outer)
  return { ...subject(impl, compute, pickedAt(places)), density, expected: inDoubles(op, data, outer, places, null) }
}

function patternSubject(pattern: Pattern, op: SparseOp, data: LayerData, density: number): Subject {
  const { layer: { rows, inner, outer }, shape, weight, tensors: { x, dy } } = data
  const { keep, packed } = packedBy(pattern, weight, shape, density), sparse = new SparseWeight(pattern, packed)
  const kept = keep.reduce((sum, each) => sum + each, 0)
  const compute = {
    forward: () => sparseLinear(x, sparse, null),
    dx: () => {
      const out = empty([rows, inner])
      sparseBack(dy, sparse, sparse.packing, out, rows)
      return out
    },
    dw: () => sparseValues(dy, x, sparse, sparse.packing, rows),
  }[op]
  const places = placesOf(op, rows, inner, outer), pick = pickedAt(places)
  // Gradients of values lie in tiles; entries that are not kept have none, wherever a tile has room for one.
  const dense = (values: ArrayLike<number>) =>
    op === 'dw'
      ? pattern.unpack({ ...packed, values: Float32Array.from(values) }).map((value, at) => keep[at] ? value : 0)
      : values
  return {
    ...subject(pattern.name, compute, (values) => pick(dense(values))),
    density,
    flops: 2 * rows * kept,
    denseFlops: 2 * rows * inner * outer,
    bytes: 4 * rows * (inner + outer) + sparse.bytes,
    expected: inDoubles(op, data, outer, places, keep),
    note: `${(kept / keep.length).toFixed(3)} kept, ${
      (sparse.bytes / weight.byteLength).toFixed(3)
    } of the dense bytes`,
    dispose: () => {
      sparse.dispose()
    },
  }
}

/** A dense weight times a mask of the strongest tiles. */
function maskedSubject(tile: Tile, op: SparseOp, data: LayerData, density: number): Subject {
  const { layer: { rows, inner, outer }, shape, weight: values, tensors: { x, dy, weight } } = data
  const name = tile.join('x'), keep = patternOf(`block:${name}`).keep(values.map(Math.abs), shape, density)
  const mask = tensor(Float32Array.from(keep), shape), kept = keep.reduce((sum, each) => sum + each, 0)
  const product = (x: Tensor, weight: Tensor) => tileMaskedLinear(x, weight, mask, null, { tile })
  // Of the ways back what only they take: the product itself is computed once, here.
  const { back, free } = op === 'forward'
    ? { back: () => [null], free: () => {} }
    : op === 'dx'
    ? vjp((x) => product(x, weight), x)
    : vjp((weight) => product(x, weight), weight)
  const places = placesOf(op, rows, inner, outer)
  return {
    ...subject(`masked ${name}`, () => op === 'forward' ? product(x, weight) : back(dy)[0]!, pickedAt(places)),
    density,
    flops: 2 * rows * kept,
    denseFlops: 2 * rows * inner * outer,
    bytes: 4 * (rows * (inner + outer) + 2 * outer * inner),
    expected: inDoubles(op, data, outer, places, keep),
    note: `${(kept / keep.length).toFixed(3)} of the tiles are occupied`,
    dispose: () => {
      free()
      mask.dispose()
    },
  }
}

/** Keeps and packs, and holds what comes back against what was kept. */
function packedBy(
  pattern: Pattern,
  weight: Float32Array,
  shape: MatrixShape,
  density: number,
): { keep: Uint8Array, packed: Packed } {
  const name = `pattern ${quoted(pattern.name)}`, why = pattern.unfit(shape)
  if (why !== null) throw new InputError(`${name}: a weight of [${shape}] ${why}`)
  const keep = pattern.keep(weight.map(Math.abs), shape, density)
  if (keep.length !== weight.length) {
    throw new InputError(
      `${name}: keep gave ${keep.length} flags for a weight of [${shape}], expected ${weight.length}`,
    )
  }
  const packed = pattern.pack(weight, keep, shape), back = pattern.unpack(packed)
  let wrong = 0, first = -1
  for (let i = 0; i < weight.length; i++) {
    if (Object.is(back[i], keep[i] ? weight[i] : 0)) continue
    if (wrong++ === 0) first = i
  }
  if (wrong) {
    const [row, column] = [Math.floor(first / shape[1]), first % shape[1]]
    throw new InputError(
      `${name}: unpack(pack(weight)) differs from what keep kept in ${wrong} of ${weight.length} entries, first at row `
        + `${row}, column ${column}: ${back[first]}, expected ${
          keep[first] ? weight[first] : 0
        }; pack drops or moves a tile`,
    )
  }
  return { keep, packed }
}

function subject(impl: string, compute: () => Tensor, inOrder: Subject['inOrder']): Subject {
  return {
    impl,
    inOrder,
    launch: () => {
      scope(() => {
        compute()
      })
    },
    async run() {
      const out = scope(compute), values = await out.data()
      out.dispose()
      return values
    },
  }
}

/** Entries of y, dx or dw that are checked. */
const placesOf = (op: SparseOp, rows: number, inner: number, outer: number) =>
  sampled({ forward: rows * outer, dx: rows * inner, dw: outer * inner }[op])

/** y, dx or dw of the kept entries at these places; `outer` outputs of the layer are there. */
function inDoubles(
  op: SparseOp,
  { layer, x, dy, weight }: LayerData,
  outer: number,
  places: readonly number[],
  keep: Uint8Array | null,
): number[] {
  const { rows, inner } = layer, full = layer.outer
  const at = (o: number, c: number) => keep && !keep[o * inner + c] ? 0 : weight[o * inner + c]
  return places.map((place) => {
    let sum = 0
    if (op === 'forward') {
      const m = Math.floor(place / outer), o = place % outer
      for (let c = 0; c < inner; c++) sum += x[m * inner + c] * at(o, c)
    } else if (op === 'dx') {
      const m = Math.floor(place / inner), c = place % inner
      for (let o = 0; o < outer; o++) sum += dy[m * full + o] * at(o, c)
    } else {
      const o = Math.floor(place / inner), c = place % inner
      if (keep && !keep[place]) return 0
      for (let m = 0; m < rows; m++) sum += dy[m * full + o] * x[m * inner + c]
    }
    return sum
  })
}

// A packed weight on the device: what a model holds in the place of a dense one.
import { sizeOf } from '../base/shape.ts'
import { ShapeError } from '../base/errors.ts'
import type { LeafTraits } from '../core/traits.ts'
import { type Tensor, tensor } from '../core/tensor.ts'
import { checkPacked, densityOf } from './check-packed.ts'
import type { PackedWeight } from '../nn/weight.ts'
import type { ConvAttrs } from '../ops/conv2d/conv2d.ts'
import { mul } from '../ops/elementwise.ts'
import { gather } from '../ops/gather.ts'
import { pad } from '../ops/permute.ts'
import { sparseConv2d } from './conv2d.ts'
import { sparseLinear, sparseLinearGelu } from './linear.ts'
import { listsOf, type Packing } from './packing.ts'
import type { MatrixShape, Packed, Pattern } from './pattern.ts'
import { stripOf, tilesOf } from './tiles.ts'

/** The axes of a weight: outputs, then inputs. Default: the rows and columns of the packed matrix. */
export interface SparseAxes {
  outputs?: readonly number[]
  inputs?: readonly number[]
}

/**
 * A weight of a sparsity pattern: kept values, which train, and where they stand, which does not. A tree of tensors
 * like any layer. Its shape is [...outputs, ...inputs], as a dense weight of `linear` has it. It stands where a layer
 * has a tensor: layers of the package multiply by either.
 */
export class SparseWeight implements PackedWeight {
  static readonly asTensor = true
  static readonly leaves: Readonly<Record<string, LeafTraits>> = {
    index: { trained: false },
    lists: { trained: false, saved: false },
  }
  /** [slots, rows of a tile / strip, columns of a tile, strip]; the room of one tile where none is kept. */
  values: Tensor
  /** The pattern's own arrays, u32, by name. */
  index: Record<string, Tensor>
  /** What follows from the index: places of tiles for the ways back, u32. */
  lists: Record<string, Tensor>
  readonly packing: Packing
  /** Entries of the weight that are stored; edges of tiles beyond it do not count. */
  readonly kept: number

  /** @throws InputError as `checkPacked` does; ShapeError if the axes are not those of the matrix. */
  constructor(pattern: Pattern, packed: Packed, axes: SparseAxes = {}, what = pattern.name) {
    const { shape, tile, slots, values, index } = packed
    const { outputs = [shape[0]], inputs = [shape[1]] } = axes
    if (sizeOf(outputs) !== shape[0] || sizeOf(inputs) !== shape[1]) {
      throw new ShapeError(
        `${what}: a matrix of [${shape}] is no weight of outputs [${outputs}] and inputs [${inputs}]`,
      )
    }
    const positions = checkPacked(pattern, packed, what), strip = stripOf(tile[0])
    this.values = tensor(values, [Math.max(1, slots), tile[0] / strip, tile[1], strip])
    this.index = tensorsOf(index)
    this.lists = tensorsOf(listsOf(packed, positions))
    this.packing = { pattern, shape, tile, slots, outputs, inputs }
    this.kept = Math.round(densityOf(packed, positions) * shape[0] * shape[1])
  }

  /** Packs a dense weight, given row by row. @throws InputError if the pattern cannot have this shape. */
  static of(
    pattern: Pattern,
    weight: ArrayLike<number>,
    keep: ArrayLike<number>,
    shape: MatrixShape,
    axes: SparseAxes = {},
  ): SparseWeight {
    return new SparseWeight(pattern, pattern.pack(weight, keep, shape), axes)
  }

  /** The shape of the dense weight. */
  get shape(): readonly number[] {
    return [...this.packing.outputs, ...this.packing.inputs]
  }

  /** x [..., inputs] -> [..., outputs]. @throws ShapeError if x does not end in the inputs. */
  apply(x: Tensor, bias: Tensor | null): Tensor {
    return sparseLinear(x, this, bias)
  }

  /** x [N, channels, H, W] -> [N, filters, H', W'], of inputs [channels, height, width]. @throws ShapeError */
  convolve(x: Tensor, bias: Tensor | null, { groups = 1, ...attrs }: ConvAttrs = {}): Tensor {
    if (groups !== 1) throw new ShapeError(`sparse-conv2d: ${groups} groups, expected one; leave the weight dense`)
    return sparseConv2d(x, this, bias, attrs)
  }

  /** gelu of `apply`, in one launch where no tape records. @throws ShapeError if x does not end in the inputs. */
  applyGelu(x: Tensor, bias: Tensor | null): Tensor {
    return sparseLinearGelu(x, this, bias)
  }

  /** The values with each output multiplied by its entry of `factors` [outputs], on the device: a folded batch norm. */
  scaled(factors: Tensor): Tensor {
    const { shape: [rows], tile: [height, width] } = this.packing,
      [down] = tilesOf(this.packing.shape, this.packing.tile)
    const strip = stripOf(height), flat = factors.view([rows])
    const whole = down * height === rows ? flat : pad(flat, { before: [0], after: [down * height - rows] })
    const each = gather(whole.view([down, height]), this.lists.tile_row, { axis: 0 })
    return mul(this.values, each.view([this.values.size / (height * width), height / strip, 1, strip]))
  }

  /** The packed weight on the host. Waits for the device. */
  async packed(): Promise<Packed> {
    const { shape, tile, slots } = this.packing
    const index: Record<string, Uint32Array> = {}
    for (const [name, array] of Object.entries(this.index)) index[name] = await array.data() as Uint32Array
    return { shape, tile, slots, values: await this.values.data() as Float32Array, index }
  }

  /** The dense weight on the host, row by row. Waits for the device. */
  async dense(): Promise<Float32Array> {
    return this.packing.pattern.unpack(await this.packed())
  }

  /** Stored entries as a share of the dense weight's. */
  density(): Promise<number> {
    const { shape: [rows, columns] } = this.packing
    return Promise.resolve(this.kept / (rows * columns))
  }

  /** Bytes of values and index. */
  get bytes(): number {
    return this.values.bytes + Object.values(this.index).reduce((sum, { bytes }) => sum + bytes, 0)
  }

  dispose(): void {
    for (const held of [this.values, ...Object.values(this.index), ...Object.values(this.lists)]) held.dispose()
  }
}

const tensorsOf = (arrays: Readonly<Record<string, Uint32Array>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(arrays).map(([name, values]) => [name, tensor(values)]))

// Networks as a user would write them, with names of their own: nothing in the package knows one of these fields. Their
// twins among our models have the same tensors in the same order.
import { add, attention, avgPool, BatchNorm, type Context, Conv2d, Gate, linear, linearGelu, LayerNorm, Linear, mean,
  Patches, relu, tensor, type Tensor, zeros } from '../../src/index.ts'

/** Attention over tokens; twin of `Attention`. */
export class Council {
  static readonly leaves = {
    asks: { role: 'query' },
    hears: { role: 'key' },
    mask: { role: 'value' }, // a weight, whatever its name says elsewhere
    asksBy: { role: 'bias' },
    hearsBy: { role: 'bias' },
    maskBy: { role: 'bias' },
    verdict: { role: 'projection' },
  } as const
  static readonly constants = ['temper']
  asks: Tensor
  hears: Tensor
  mask: Tensor
  asksBy: Tensor
  hearsBy: Tensor
  maskBy: Tensor
  verdict: Tensor
  verdictBy: Tensor
  readonly temper: number
  pairing = new Gate([-2, -1], { kind: 'query-key' })
  carried = new Gate([-2, -1], { kind: 'values' })
  seats = new Gate([-2], { kind: 'heads' })

  constructor(width: number, seats: number) {
    const dim = width / seats, project = () => zeros([seats, dim, width], true), by = () => zeros([seats, dim], true)
    this.asks = project()
    this.hears = project()
    this.mask = project()
    this.asksBy = by()
    this.hearsBy = by()
    this.maskBy = by()
    this.verdict = zeros([width, seats, dim], true)
    this.verdictBy = zeros([width], true)
    this.temper = dim ** -0.5
  }

  call(x: Tensor): Tensor {
    const q = this.pairing.call(linear(x, this.asks, this.asksBy)), k = linear(x, this.hears, this.hearsBy)
    const v = this.carried.call(linear(x, this.mask, this.maskBy))
    return linear(
      this.seats.call(attention(q, k, v, null, null, { scale: this.temper })),
      this.verdict,
      this.verdictBy,
      { over: 2 },
    )
  }
}

/** Council and two linear layers, each beside a residual; twin of a ViT's block. */
export class Floor {
  before: LayerNorm
  council: Council
  between: LayerNorm
  up: Linear
  lamps = new Gate([-1])
  down: Linear

  constructor(width: number, seats: number, lamps: number) {
    this.before = new LayerNorm(width, { eps: 1e-6 })
    this.council = new Council(width, seats)
    this.between = new LayerNorm(width, { eps: 1e-6 })
    this.up = new Linear(width, lamps)
    this.down = new Linear(lamps, width)
  }

  call(x: Tensor): Tensor {
    const y = add(x, this.council.call(this.before.call(x)))
    const lit = this.lamps.call(linearGelu(this.between.call(y), this.up.weight, this.up.bias))
    return add(y, this.down.call(lit))
  }
}

/** A transformer; twin of `new ViT({ image: 16, patch: 4, width: 16, depth, heads: 2, hidden: 24, classes: 4 })`. */
export class Tower {
  static readonly leaves = { places: { role: 'positions' }, roof: { role: 'classifier' } } as const
  index: Patches // patches, whatever its name says elsewhere
  places: Tensor
  lift = new Gate([-1], { kind: 'residual' })
  floors: Floor[]
  top: LayerNorm
  roof: Linear

  constructor(depth = 2) {
    this.index = new Patches(3, 16, 4)
    this.places = zeros([16, 16], true)
    this.floors = Array.from({ length: depth }, () => new Floor(16, 2, 24))
    this.top = new LayerNorm(16, { eps: 1e-6 })
    this.roof = new Linear(16, 4)
  }

  call(image: Tensor, _context: Context = {}): Tensor {
    let x = this.lift.call(add(this.index.call(image), this.places))
    for (const floor of this.floors) x = floor.call(x)
    return this.roof.call(mean(this.top.call(x), { axes: [1] }))
  }
}

/** A small network of convolutions with a residual block, and a kind of its own on one gate. */
export class Garden {
  static readonly leaves = { gate: { role: 'classifier' } } as const
  head: Conv2d
  headIndex: BatchNorm
  beds = new Gate([-3], { kind: 'beds', step: 2, branchLocal: true })
  entry = new Gate([-3], { kind: 'residual' })
  mask: Conv2d
  maskNorm: BatchNorm
  hedge = new Gate([-3], { branchLocal: true })
  path = new Gate([-3], { kind: 'residual' })
  stream: Conv2d
  heads = new Gate([-3]) // filters, whatever its name says elsewhere
  gate: Linear
  private readonly bend: (x: Tensor) => Tensor

  /** `bend` is the activation; a smooth one has derivatives by differences. */
  constructor(bend: (x: Tensor) => Tensor = relu) {
    this.bend = bend
    this.head = new Conv2d(3, 8, 3, { padding: 1, bias: false })
    this.headIndex = new BatchNorm(8)
    this.mask = new Conv2d(8, 8, 3, { padding: 1, bias: false })
    this.maskNorm = new BatchNorm(8)
    this.stream = new Conv2d(8, 12, 3, { padding: 1 })
    this.gate = new Linear(12, 4)
  }

  call(image: Tensor, context: Context = {}): Tensor {
    const x = this.entry.call(this.beds.call(this.bend(this.headIndex.call(this.head.call(image), context))))
    const y = this.hedge.call(this.maskNorm.call(this.mask.call(x), context))
    const z = this.heads.call(this.bend(this.stream.call(avgPool(this.path.call(this.bend(add(x, y))), { size: 2 }))))
    return this.gate.call(mean(z, { axes: [2, 3] }))
  }
}

/** A garden as `registerArchitecture` makes one. */
export const gardenOf = (): Garden => new Garden()

/** Two pictures for it. */
export const gardenImages = (): Tensor =>
  tensor(Float32Array.from({ length: 2 * 3 * 256 }, (_, i) => Math.sin(i * 0.37)), [2, 3, 16, 16])

// Soft pruning: weights are pulled towards a copy of themselves in which what is to go is zero, while they train.
// Scaled ADMM (Boyd et al. 2011, section 3.1.1): W by training on the loss and (rho / 2) |W - Z + U|^2, then Z =
// projection of W + U, U = U + W - Z. Neither Z nor U is a parameter, so no optimiser and no decay touches them.
import { copyInto, zeros } from '../../../core/fill.ts'
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { disposeTree } from '../../../core/tree.ts'
import { add, mul, scale, square, sub } from '../../../ops/elementwise.ts'
import { concat } from '../../../ops/permute.ts'
import { norm, sum } from '../../../ops/reduce.ts'
import type { FitHook } from '../../../train/hooks.ts'
import type { Plan } from '../../plan/slice.ts'
import type { Scores } from '../../scores/criterion.ts'
import { type Group, maskOf, maskShapeOf, type Member } from './groups.ts'

/** How far W is from its copy after a projection, relative to |W|: of every unit and of all. */
export interface Residuals {
  /** |W - Z| / |W|. */
  primal: number
  /** |Z - Z before| / |W|. */
  dual: number
  units: ReadonlyMap<string, number>
}

/** How soft pruning goes. */
export interface AdmmOptions {
  rho: number
  /** Factor of rho at each projection, up to `cap` times the first. */
  growth: number
  cap: number
  /** Steps between projections; 0 for an epoch. */
  every: number
  /** Ends training once the primal residual is below. */
  tolerance: number
  /** Without duals the penalty is (rho / 2) |what is to go|^2 alone. */
  duals: boolean
}

/** A weight under a constraint: `anchor` is Z - U, or the flags of what is to go where there are no duals. */
export interface Pulled {
  /** What its residual is counted under. */
  readonly unit: string
  readonly weight: Tensor
  readonly anchor: Tensor
  readonly dual: Tensor | null
}

/** What a projection finds for a weight. */
export interface Projected {
  /** Flags of what stays, 1 or 0, in a shape that broadcasts over the weight. */
  values: Float32Array
  shape: readonly number[]
  /** |W - Z|², |Z - Z before|², |W|². */
  apart: number
  moved: number
  size: number
}

/** Which weights are constrained, and the projection: what of them stays. */
export interface Projection {
  readonly weights: readonly { unit: string, weight: Tensor, maskShape: readonly number[] }[]
  /** What Z is to keep of each weight, by W + U; nothing is written yet. */
  find(pulled: readonly Pulled[]): Promise<Projected[]>
  /** What it found last, as JSON, and back. */
  save(): unknown
  load(saved: unknown): void
}

/** (rho / 2) sum |W - anchor|^2 over weights, one number; its gradient is rho (W - anchor). */
export function pull(pulled: readonly { weight: Tensor, anchor: Tensor }[], rho: Tensor): Tensor {
  return weighted(pulled.map(({ weight, anchor }) => sub(weight, anchor)), rho)
}

const weighted = (parts: readonly Tensor[], rho: Tensor): Tensor =>
  scale(sum(mul(rho, parts.map((part) => sum(square(part))).reduce((a, b) => add(a, b)))), { by: 0.5 })

/** W + U. */
export const movedBy = ({ weight, dual }: Pulled): Tensor => dual ? add(weight, dual) : weight

/** Projects groups of slices: elements of units with all that goes with them. */
export class GroupProjection implements Projection {
  /** What Z keeps. */
  support: Plan = new Map()
  readonly weights: Projection['weights']
  private readonly groups: readonly Group[]
  private readonly members: readonly (Member & { unit: string })[]
  private readonly supportOf: (norms: Scores) => Plan

  /** `supportOf` says what stays, by the norms of W + U of each element of the units. */
  constructor(groups: readonly Group[], supportOf: (norms: Scores) => Plan) {
    this.groups = groups
    this.supportOf = supportOf
    this.members = groups.flatMap(({ unit, members }) => members.map((each) => ({ ...each, unit: unit.name })))
    this.weights = this.members.map((member) => ({ ...member, maskShape: maskShapeOf(member) }))
  }

  async find(pulled: readonly Pulled[]): Promise<Projected[]> {
    const found = await this.slices(pulled, (each, axes) => {
      const { weight, dual, anchor } = each, own = norm(weight, { axes })
      return dual
        ? [
          norm(movedBy(each), { axes }),
          own,
          norm(dual, { axes }),
          norm(anchor, { axes }),
          norm(sub(weight, anchor), { axes }),
        ]
        : [own]
    })
    const before = this.support
    this.support = this.supportOf(this.byElement(found.map(([first]) => first)))
    return this.members.map((member, i) => {
      const now = maskOf(member, this.support.get(member.unit)!), [W, ownW, U, A, WA] = found[i]
      const old = before.has(member.unit) ? maskOf(member, before.get(member.unit)!).values : now.values
      const figures = { apart: 0, moved: 0, size: 0 }
      now.values.forEach((kept, at) => {
        const size = (ownW ?? W)[at] ** 2, was = old[at]
        figures.size += size
        // Where Z kept something U is 0, so that Z is the anchor; elsewhere Z is 0.
        figures.apart += kept ? (U?.[at] ?? 0) ** 2 : size
        if (!U) figures.moved += kept === was ? 0 : size
        else figures.moved += kept ? (was ? WA : W)[at] ** 2 : was * A[at] ** 2
      })
      return { ...now, ...figures }
    })
  }

  /** Norms of W + U of every element of every unit. */
  async norms(pulled: readonly Pulled[]): Promise<Scores> {
    const found = await this.slices(pulled, (each, axes) => [norm(movedBy(each), { axes })])
    return this.byElement(found.map(([own]) => own))
  }

  /** Vectors over the slices of each weight, in one read; `axes` are those within a slice. */
  private async slices(
    pulled: readonly Pulled[],
    vectorsOf: (each: Pulled, axes: number[]) => Tensor[],
  ): Promise<Float32Array[][]> {
    const all = await readAll(pulled.map((each, i) =>
      scope(() => {
        const axes = each.weight.shape.flatMap((_, at) => at === this.members[i].axis ? [] : [at])
        const [first, ...more] = vectorsOf(each, axes)
        return more.length ? concat(first, ...more, { axis: 0 }) : first
      })
    ))
    return all.map((values, i) => {
      const { length } = this.members[i].element
      return Array.from({ length: values.length / length }, (_, k) => values.subarray(k * length, (k + 1) * length))
    })
  }

  /** Norms of slices of weights as norms of the elements they go with. */
  private byElement(norms: readonly Float32Array[]): Scores {
    const sums = new Map(this.groups.map(({ unit: { name, size } }) => [name, new Float64Array(size)]))
    this.members.forEach(({ unit, element }, i) => {
      const own = sums.get(unit)!
      element.forEach((each, index) => {
        if (each >= 0) own[each] += norms[i][index] ** 2
      })
    })
    return new Map([...sums].map(([name, own]) => [name, Float32Array.from(own, Math.sqrt)]))
  }

  save(): unknown {
    return [...this.support].map(([name, keep]) => [name, [...keep]])
  }

  load(saved: unknown): void {
    this.support = new Map((saved as [string, number[]][]).map(([name, keep]) => [name, Uint8Array.from(keep)]))
  }
}

/** Z and U of constrained weights, and what training needs of them. */
export class Admm<P extends Projection = Projection> {
  /** After the last projection. */
  residuals: Residuals = { primal: 1, dual: 0, units: new Map() }
  readonly projection: P
  readonly pulled: readonly Pulled[]
  private readonly options: AdmmOptions
  private readonly rho: Tensor
  private rhoNow: number

  constructor(projection: P, options: AdmmOptions) {
    this.projection = projection
    this.options = options
    this.rho = tensor([options.rho])
    this.rhoNow = options.rho
    this.pulled = projection.weights.map(({ unit, weight, maskShape }) => ({
      unit,
      weight,
      anchor: zeros(options.duals ? weight.shape : maskShape, true),
      dual: options.duals ? zeros(weight.shape, true) : null,
    }))
  }

  /** What is added to the loss. Runs under the tape. */
  penalty(): Tensor {
    if (this.options.duals) return pull(this.pulled, this.rho)
    return weighted(this.pulled.map(({ weight, anchor }) => mul(weight, anchor)), this.rho)
  }

  /** Z = projection of W, U = 0. */
  async start(): Promise<void> {
    await this.step(this.rhoNow, true)
  }

  /** What training calls: projections, their state, the end. */
  hook(): FitHook {
    const { every, tolerance, growth, cap, rho } = this.options
    const tensors = { anchors: this.pulled.map(({ anchor }) => anchor), duals: this.pulled.map(({ dual }) => dual) }
    const next = () => this.step(Math.min(this.rhoNow * growth, rho * cap), false)
    let since = 0
    return {
      name: 'admm',
      tensors,
      ...every && {
        async afterStep() {
          if (++since < every) return
          since = 0
          await next()
        },
      },
      afterEpoch: async () => {
        if (!every || since) await next()
        since = 0
        return this.residuals.primal < tolerance
      },
      save: () => ({ rho: this.rhoNow, support: this.projection.save() }),
      load: (saved) => {
        const { rho: before, support } = saved as { rho: number, support: unknown }
        this.rhoNow = before
        this.rho.write(Float32Array.of(before))
        this.projection.load(support)
      },
    }
  }

  /** What a curve shows of an epoch. */
  measured(): Record<string, number> {
    const { primal, dual, units } = this.residuals
    return { residual: primal, 'change of Z': dual, rho: this.rhoNow, ...Object.fromEntries(units) }
  }

  /** Frees Z, U and rho. */
  dispose(): void {
    disposeTree(this.pulled.map(({ anchor, dual }) => [anchor, dual]))
    this.rho.dispose()
  }

  private async step(rho: number, first: boolean): Promise<void> {
    const found = await this.projection.find(this.pulled), factor = first ? 0 : this.rhoNow / rho
    this.pulled.forEach((pulled, i) => scope(() => update(pulled, found[i], factor)))
    this.rhoNow = rho
    this.rho.write(Float32Array.of(rho))
    const sums = new Map(this.pulled.map(({ unit }) => [unit, { apart: 0, moved: 0, size: 0 }]))
    const total = { apart: 0, moved: 0, size: 0 }
    found.forEach((each, i) => {
      for (const sum of [sums.get(this.pulled[i].unit)!, total]) {
        sum.apart += each.apart
        sum.moved += each.moved
        sum.size += each.size
      }
    })
    this.residuals = {
      primal: share(total.apart, total.size),
      dual: first ? 0 : share(total.moved, total.size),
      units: new Map([...sums].map(([name, { apart, size }]) => [name, share(apart, size)])),
    }
  }
}

/**
 * Writes Z - U and U: Z is W + U where it is kept and 0 elsewhere, and U = W + U - Z the rest, times `factor`, which
 * keeps rho U as it was where rho changes. So both are W + U times something.
 */
function update(pulled: Pulled, { values, shape }: Projected, factor: number): void {
  const { anchor, dual } = pulled, times = (of: (kept: number) => number) => tensor(values.map(of), shape)
  if (!dual) {
    anchor.write(values.map((kept) => 1 - kept))
    return
  }
  const moved = movedBy(pulled)
  copyInto(mul(moved, times((kept) => kept ? 1 : -factor)), anchor)
  copyInto(mul(moved, times((kept) => kept ? 0 : factor)), dual)
}

const share = (square: number, whole: number) => whole > 0 ? Math.sqrt(square / whole) : 0

/** Vectors on the host, in one read; they are freed. */
async function readAll(vectors: readonly Tensor[]): Promise<Float32Array[]> {
  const all = scope(() => concat(...vectors, { axis: 0 }))
  const values = await all.data() as Float32Array
  disposeTree([all, [...vectors]])
  let at = 0
  return vectors.map(({ size }) => values.subarray(at, at += size))
}

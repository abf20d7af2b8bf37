// Soft pruning: weights are pulled towards a copy of themselves in which what is to go is zero, while they train.
// Scaled ADMM (Boyd et al. 2011, section 3.1.1): W by training on the loss and (rho / 2) |W - Z + U|^2, then Z =
// projection of W + U, U = U + W - Z. Neither Z nor U is a parameter, so no optimiser and no decay touches them.
import { copyInto, zeros } from '../../../core/fill.ts'
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { disposeTree } from '../../../core/tree.ts'
import { add, mul, scale, square, sub } from '../../../ops/elementwise.ts'
import { concat } from '../../../ops/permute.ts'
import { sum } from '../../../ops/reduce.ts'
import type { FitHook } from '../../../train/hooks.ts'
import type { Plan } from '../../plan/slice.ts'
import type { Scores } from '../../scores/criterion.ts'
import { type Group, maskOf, type Member } from './groups.ts'

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
  /** What stays, by the norms of W + U of each element of the units. */
  supportOf: (norms: Scores) => Plan
}

/** A weight under a constraint: `anchor` is Z - U, or the flags of what is to go where there are no duals. */
interface Pulled extends Member {
  unit: string
  anchor: Tensor
  dual: Tensor | null
}

/** (rho / 2) sum |W - anchor|^2 over weights, one number; its gradient is rho (W - anchor). */
export function pull(pulled: readonly { weight: Tensor, anchor: Tensor }[], rho: Tensor): Tensor {
  return weighted(pulled.map(({ weight, anchor }) => sub(weight, anchor)), rho)
}

const weighted = (parts: readonly Tensor[], rho: Tensor): Tensor =>
  scale(sum(mul(rho, parts.map((part) => sum(square(part))).reduce((a, b) => add(a, b)))), { by: 0.5 })

/**
 * The new Z - U and U of a weight: Z = mask (W + U), U = (W + U - Z) times `factor`, which keeps rho U as it was where
 * rho changes.
 */
export function project(weight: Tensor, dual: Tensor, mask: Tensor, factor: number): { z: Tensor, u: Tensor } {
  const moved = add(weight, dual), z = mul(moved, mask)
  return { z, u: scale(sub(moved, z), { by: factor }) }
}

/** Z and U of the groups of a model, and what training needs of them. */
export class Admm {
  /** What Z keeps. */
  support: Plan = new Map()
  /** After the last projection. */
  residuals: Residuals = { primal: 1, dual: 0, units: new Map() }
  private readonly groups: readonly Group[]
  private readonly options: AdmmOptions
  private readonly pulled: readonly Pulled[]
  private readonly rho: Tensor
  private rhoNow: number

  constructor(groups: readonly Group[], options: AdmmOptions) {
    this.groups = groups
    this.options = options
    this.rho = tensor([options.rho])
    this.rhoNow = options.rho
    this.pulled = groups.flatMap(({ unit, members }) =>
      members.map((member) => ({
        ...member,
        unit: unit.name,
        anchor: zeros(options.duals ? member.weight.shape : maskOf(member, new Uint8Array(unit.size)).shape, true),
        dual: options.duals ? zeros(member.weight.shape, true) : null,
      }))
    )
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
      save: () => ({ rho: this.rhoNow, support: [...this.support].map(([name, keep]) => [name, [...keep]]) }),
      load: (saved) => {
        const { rho: before, support } = saved as { rho: number, support: [string, number[]][] }
        this.rhoNow = before
        this.rho.write(Float32Array.of(before))
        this.support = new Map(support.map(([name, keep]) => [name, Uint8Array.from(keep)]))
      },
    }
  }

  /** What a curve shows of an epoch. */
  measured(): Record<string, number> {
    const { primal, dual, units } = this.residuals
    return { residual: primal, 'change of Z': dual, rho: this.rhoNow, ...Object.fromEntries(units) }
  }

  /** Norms of W + U of every element of every unit: what projections go by. */
  async norms(): Promise<Scores> {
    const squares = await readAll(this.pulled.map(({ weight, axis, dual }) =>
      scope(() => {
        const axes = weight.shape.flatMap((_, at) => at === axis ? [] : [at])
        const all = square(dual ? add(weight, dual) : weight)
        return axes.length ? sum(all, { axes }) : all
      })
    ))
    const sums = new Map(this.groups.map(({ unit: { name, size } }) => [name, new Float64Array(size)]))
    this.pulled.forEach(({ unit, element }, i) => {
      const own = sums.get(unit)!
      element.forEach((each, index) => {
        if (each >= 0) own[each] += squares[i][index]
      })
    })
    return new Map([...sums].map(([name, own]) => [name, Float32Array.from(own, Math.sqrt)]))
  }

  /** Frees Z, U and rho. */
  dispose(): void {
    disposeTree(this.pulled.map(({ anchor, dual }) => [anchor, dual]))
    this.rho.dispose()
  }

  private async step(rho: number, first: boolean): Promise<void> {
    this.support = this.options.supportOf(await this.norms())
    const factor = first ? 0 : this.rhoNow / rho
    const found = await readAll(this.pulled.map((pulled) => {
      const { values, shape } = maskOf(pulled, this.support.get(pulled.unit)!)
      return scope(() => this.projected(pulled, tensor(values, shape), factor))
    }))
    this.rhoNow = rho
    this.rho.write(Float32Array.of(rho))
    const sums = new Map(this.groups.map(({ unit: { name } }) => [name, [0, 0, 0]]))
    this.pulled.forEach(({ unit }, i) => found[i].forEach((value, j) => sums.get(unit)![j] += value))
    const total = [...sums.values()].reduce((a, b) => a.map((value, j) => value + b[j]))
    this.residuals = {
      primal: share(total[0], total[2]),
      dual: first ? 0 : share(total[1], total[2]),
      units: new Map([...sums].map(([name, [apart, , size]]) => [name, share(apart, size)])),
    }
  }

  /** Projects one weight. @returns |W - Z|^2, |Z - Z before|^2, |W|^2, [3]. */
  private projected({ weight, anchor, dual }: Pulled, mask: Tensor, factor: number): Tensor {
    const total = (x: Tensor) => sum(square(x)).view([1])
    if (!dual) {
      const gone = sub(tensor([1]), mask)
      const moved = total(mul(weight, sub(gone, anchor)))
      copyInto(gone, anchor)
      return concat(total(mul(weight, gone)), moved, total(weight), { axis: 0 })
    }
    const before = add(anchor, dual), { z, u } = project(weight, dual, mask, factor)
    const figures = concat(total(sub(weight, z)), total(sub(z, before)), total(weight), { axis: 0 })
    copyInto(sub(z, u), anchor)
    copyInto(u, dual)
    return figures
  }
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

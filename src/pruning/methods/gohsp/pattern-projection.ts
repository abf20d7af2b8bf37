// The projection of ADMM onto a sparsity pattern: of W + U the tiles with the largest sums of squares stay, which is
// the nearest point that has the pattern.
import { type Tensor, tensor } from '../../../core/tensor.ts'
import { scope } from '../../../core/transform.ts'
import { leaves } from '../../../core/tree.ts'
import { add, mul, square, sub } from '../../../ops/elementwise.ts'
import { concat } from '../../../ops/permute.ts'
import { norm } from '../../../ops/reduce.ts'
import type { Model } from '../../../nn/model.ts'
import type { EntryScores } from '../../../sparse/choose.ts'
import type { WeightSite } from '../../../sparse/sites.ts'
import { movedBy, type Projected, type Projection, type Pulled } from './admm.ts'

/** Projects weights of a model, each entry by itself as the pattern allows. */
export class PatternProjection implements Projection {
  /** 1 or 0 for each entry that Z keeps, by the path of the weight. */
  keep: ReadonlyMap<string, Uint8Array> = new Map()
  readonly weights: readonly { unit: string, weight: Tensor, maskShape: readonly number[] }[]
  private readonly choose: (scores: EntryScores) => ReadonlyMap<string, Uint8Array>

  /** `choose` gives the entries that the pattern keeps for what they are worth. */
  constructor(
    model: Model,
    sites: readonly WeightSite[],
    choose: (scores: EntryScores) => ReadonlyMap<string, Uint8Array>,
  ) {
    const tensors = new Map(leaves(model))
    this.weights = sites.map(({ path }) => {
      const weight = tensors.get(path)!
      return { unit: path, weight, maskShape: weight.shape }
    })
    this.choose = choose
  }

  async find(pulled: readonly Pulled[]): Promise<Projected[]> {
    this.keep = this.choose(await this.scores(pulled))
    const found: Projected[] = []
    for (const each of pulled) {
      const { unit, weight, anchor, dual } = each, values = Float32Array.from(this.keep.get(unit)!), { shape } = weight
      const norms = scope(() => {
        const mask = tensor(values, shape), z = mul(movedBy(each), mask)
        const before = dual ? add(anchor, dual) : sub(weight, mul(weight, anchor))
        return concat(...[sub(weight, z), sub(z, before), weight].map((x) => norm(x).view([1])), { axis: 0 })
      })
      const [apart, moved, size] = (await norms.data()).map((value) => value ** 2)
      norms.dispose()
      found.push({ values, shape, apart, moved, size })
    }
    return found
  }

  /** (W + U)² of every entry. */
  async scores(pulled: readonly Pulled[]): Promise<EntryScores> {
    const found = new Map<string, Float32Array>()
    for (const each of pulled) {
      const squares = scope(() => square(movedBy(each)))
      found.set(each.unit, await squares.data() as Float32Array)
      squares.dispose()
    }
    return found
  }

  save(): unknown {
    return [...this.keep].map(([path, keep]) => [path, keep.length, hexOf(keep)])
  }

  load(saved: unknown): void {
    this.keep = new Map(
      (saved as [string, number, string][]).map(([path, length, hex]) => [path, flagsOf(hex, length)]),
    )
  }
}

/** Flags as hexadecimal digits, four to each. */
function hexOf(flags: Uint8Array): string {
  const digits: string[] = []
  for (let i = 0; i < flags.length; i += 4) {
    digits.push((flags[i] | flags[i + 1] << 1 | flags[i + 2] << 2 | flags[i + 3] << 3).toString(16))
  }
  return digits.join('')
}

const flagsOf = (hex: string, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => parseInt(hex[i >> 2], 16) >> (i & 3) & 1)

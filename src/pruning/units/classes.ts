// Which indices of which axes are one thing: union-find over every index of every axis of a traced run. Reshapes merge
// and split axes, so an axis is a product of factors (major first); the first pass finds the factors, the second joins
// their indices.
import { linksOf } from '../../core/axes.ts'
import type { Call } from '../../core/tape.ts'
import type { Tensor } from '../../core/tensor.ts'

/** One factor of a tensor's axis: how many indices, and the number of its first one. */
interface Factor {
  size: number
  first: number
}

type Sizes = number[]

/** The joined indices of all axes in a list of calls. */
export class AxisClasses {
  private readonly factors = new Map<Tensor, Factor[][]>()
  private readonly parent: Int32Array
  private readonly reasons = new Map<number, string>()
  private places: Map<number, [Tensor, number][]> | null = null
  private readonly axes = new WeakMap<ReadonlySet<number>, Map<Tensor, number[]>>()
  /** Tensors whose axis an op mixes (normalises, averages), by tensor and axis, with the op's reason. */
  readonly mixed: { call: Call, tensor: Tensor, axis: number, reason: string }[] = []

  /** `cut` names calls that end their first argument's axes: branch-local gates. */
  constructor(calls: readonly Call[], cut: (call: Call) => boolean) {
    const linked = calls.filter((call) => !cut(call))
    const sizes = findFactors(calls, linked)
    let count = 0
    for (const [tensor, axes] of sizes) {
      this.factors.set(
        tensor,
        axes.map((axis) =>
          axis.map((size) => {
            const factor = { size, first: count }
            count += size
            return factor
          })
        ),
      )
    }
    this.parent = Int32Array.from({ length: count }, (_, i) => i)
    for (const call of linked) this.join(call)
  }

  /** Class of each index along a one-factor axis; null where the axis is a product of several. */
  along(tensor: Tensor, axis: number): number[] | null {
    const factors = this.factors.get(tensor)?.[axis]
    return factors?.length === 1
      ? Array.from({ length: factors[0].size }, (_, i) => this.root(factors[0].first + i))
      : null
  }

  /**
   * Axes of a tensor of which some index is in `classes` (products of factors included). `classes` must not change
   * between calls.
   */
  axesIn(tensor: Tensor, classes: ReadonlySet<number>): number[] {
    let found = this.axes.get(classes)
    if (!found) {
      found = new Map<Tensor, number[]>()
      this.places ??= this.findPlaces()
      for (const each of classes) {
        for (const [holder, axis] of this.places.get(each) ?? []) {
          const known = found.get(holder)
          if (!known) found.set(holder, [axis])
          else if (!known.includes(axis)) found.set(holder, [...known, axis].sort((a, b) => a - b))
        }
      }
      this.axes.set(classes, found)
    }
    return found.get(tensor) ?? []
  }

  /** The tensors and axes that have an index of each class, found once when all are joined. */
  private findPlaces(): Map<number, [Tensor, number][]> {
    const places = new Map<number, [Tensor, number][]>()
    for (const [tensor, axes] of this.factors) {
      axes.forEach((factors, axis) => {
        for (const { first, size } of factors) {
          for (let i = first; i < first + size; i++) {
            const root = this.root(i), known = places.get(root)
            if (!known) places.set(root, [[tensor, axis]])
            else if (known.at(-1)![0] !== tensor || known.at(-1)![1] !== axis) known.push([tensor, axis])
          }
        }
      })
    }
    return places
  }

  /** Why indices of these classes cannot be cut, if some op on the way does not say where they go. */
  blockedReason(classes: Iterable<number>): string | null {
    for (const each of classes) {
      const reason = this.reasons.get(each)
      if (reason) return reason
    }
    return null
  }

  private root(i: number): number {
    const { parent } = this
    while (parent[i] !== i) i = parent[i] = parent[parent[i]]
    return i
  }

  private union(a: number, b: number) {
    const [x, y] = [this.root(a), this.root(b)]
    if (x === y) return
    const reason = this.reasons.get(x) ?? this.reasons.get(y)
    this.parent[Math.max(x, y)] = Math.min(x, y)
    if (reason) this.reasons.set(Math.min(x, y), reason)
  }

  private block(tensor: Tensor, axis: number, reason: string) {
    for (const { first, size } of this.factors.get(tensor)?.[axis] ?? []) {
      for (let i = 0; i < size; i++) {
        if (!this.reasons.has(this.root(first + i))) this.reasons.set(this.root(first + i), reason)
      }
    }
  }

  private join(call: Call) {
    const tensors = tensorsOf(call)
    const at = (tensor: number) => tensors(tensor)!
    if (call.op.is('reshape')) {
      const pair = [call.args[0]!, call.out] as const
      for (const run of runsOf(...pair)) {
        const [from, to] = pair.map((tensor, side) =>
          run[side].flatMap((axis) => this.factors.get(tensor)![axis]).filter(({ size }) => size > 1)
        )
        if (alike(from, to)) {
          from.forEach((factor, i) => {
            this.joinFactors(factor, to[i])
          })
          continue
        }
        const sizes = pair.map((tensor, side) => run[side].map((axis) => tensor.shape[axis]))
        const reason = `reshape turns [${sizes[0]}] into [${
          sizes[1]
        }], which are split otherwise elsewhere or have no factor in common`
        pair.forEach((tensor, side) => {
          for (const axis of run[side]) this.block(tensor, axis, reason)
        })
      }
      return
    }
    const { links, blocked = [] } = mappingOf(call)
    for (const { a, b, size } of links) {
      const left = this.factors.get(at(a.tensor))![a.axis], right = this.factors.get(at(b.tensor))![b.axis]
      if (whole(a, size, at(a.tensor)) && whole(b, size, at(b.tensor)) && alike(left, right)) {
        left.forEach((factor, i) => {
          this.joinFactors(factor, right[i])
        })
      } else if (left.length === 1 && right.length === 1) {
        if (call.op.is('indexing') && !(whole(a, size, at(a.tensor)) && whole(b, size, at(b.tensor)))) {
          for (const { tensor, axis } of [a, b]) {
            this.block(at(tensor), axis, `${call.op.name} picks places of this axis by number, which a cut would shift`)
          }
        }
        for (let i = 0; i < size; i++) {
          this.union(left[0].first + a.offset + i * a.stride, right[0].first + b.offset + i * b.stride)
        }
      } else {
        this.block(at(a.tensor), a.axis, `${call.op.name} takes part of an axis that a reshape merged`)
        this.block(at(b.tensor), b.axis, `${call.op.name} takes part of an axis that a reshape merged`)
      }
    }
    for (const { tensor, axis, reason } of blocked) {
      this.mixed.push({ call, tensor: at(tensor), axis, reason })
      if (call.op.is('indexing')) this.block(at(tensor), axis, `${call.op.name}: ${reason}`)
    }
  }

  private joinFactors(a: Factor, b: Factor) {
    for (let i = 0; i < a.size; i++) this.union(a.first + i, b.first + i)
  }
}

const tensorsOf = (call: Call) => (index: number) => index === -1 ? call.out : call.args[index]
const mappingOf = ({ op, args, out, attrs }: Call) =>
  linksOf(op.axes, args.map((arg) => arg?.shape ?? null), out.shape, attrs)
const whole = (
  { axis, offset, stride }: { axis: number, offset: number, stride: number },
  size: number,
  { shape }: Tensor,
) => offset === 0 && stride === 1 && size === shape[axis]

/** Factor sizes of every axis of every tensor, refined until reshapes and equal axes agree. */
function findFactors(calls: readonly Call[], linked: readonly Call[]): Map<Tensor, Sizes[]> {
  const sizes = new Map<Tensor, Sizes[]>()
  for (const call of calls) {
    for (const tensor of [...call.args, call.out]) if (tensor) sizes.set(tensor, tensor.shape.map((size) => [size]))
  }
  const links = linked.map((call) => call.op.is('reshape') ? [] : mappingOf(call).links)
  for (let changed = true; changed;) {
    changed = false
    const set = (tensor: Tensor, axis: number, refined: Sizes) => {
      const old = sizes.get(tensor)!
      if (old[axis].length !== refined.length) {
        old[axis] = refined
        changed = true
      }
    }
    linked.forEach((call, number) => {
      const tensors = tensorsOf(call)
      if (call.op.is('reshape')) {
        const [from, to] = [call.args[0]!, call.out]
        for (const run of runsOf(from, to)) {
          const refined = refine(
            run[0].flatMap((axis) => sizes.get(from)![axis]),
            run[1].flatMap((axis) => sizes.get(to)![axis]),
          )
          if (refined) {
            ;[from, to].forEach((tensor, side) => {
              share(refined, run[side].map((axis) => tensor.shape[axis])).forEach((part, i) => {
                set(tensor, run[side][i], part)
              })
            })
          }
        }
        return
      }
      for (const { a, b, size } of links[number]) {
        const [x, y] = [tensors(a.tensor)!, tensors(b.tensor)!]
        if (!whole(a, size, x) || !whole(b, size, y)) continue
        const refined = refine(sizes.get(x)![a.axis], sizes.get(y)![b.axis])
        if (refined) {
          set(x, a.axis, refined)
          set(y, b.axis, refined)
        }
      }
    })
  }
  return sizes
}

/**
 * The axes of both sides of a reshape in runs of equal size, as short as they can be: [1, 56, 56, 96] and [1, 28, 2,
 * 28, 2, 96] are 1 | 56 | 56 | 96 and 1 | 28 2 | 28 2 | 96. What cannot be followed in one run leaves the others alone.
 */
function runsOf({ shape: from }: Tensor, { shape: to }: Tensor): [from: number[], to: number[]][] {
  const runs: [number[], number[]][] = []
  for (let i = 0, j = 0; i < from.length || j < to.length;) {
    const run: [number[], number[]] = [[], []]
    let left = 1, right = 1
    do {
      if (i < from.length && left <= right) {
        run[0].push(i)
        left *= from[i++]
      } else {
        run[1].push(j)
        right *= to[j++]
      }
    } while (left !== right)
    runs.push(run)
  }
  return runs
}

const alike = (a: readonly Factor[], b: readonly Factor[]) =>
  a.length === b.length && a.every(({ size }, i) => size === b[i].size)

/**
 * The coarsest factors that both lists are products of, or null: [6] and [2, 3] give [2, 3]; [4, 3] and [3, 4] have
 * none.
 */
function refine(left: Sizes, right: Sizes): Sizes | null {
  const out: Sizes = []
  const a = left.filter((size) => size > 1), b = right.filter((size) => size > 1)
  let x = a.pop() ?? 1, y = b.pop() ?? 1 // from the minor end
  while (x > 1 || y > 1) {
    const common = x % y === 0 ? y : y % x === 0 ? x : 0
    if (common <= 1) return null
    out.unshift(common)
    x = x / common === 1 ? a.pop() ?? 1 : x / common
    y = y / common === 1 ? b.pop() ?? 1 : y / common
  }
  return out.length ? out : [1]
}

/** Gives each axis of a shape its run of the factors. */
function share(factors: Sizes, shape: readonly number[]): Sizes[] {
  let at = 0
  return shape.map((size) => {
    if (size === 1) return [1]
    const run: Sizes = []
    for (let product = 1; product < size;) {
      run.push(factors[at])
      product *= factors[at++]
    }
    return run
  })
}

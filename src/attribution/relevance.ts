// Attribution: one forward pass on a tape, one walk back by rules, read at the input, at gates and at the softmax. Rows
// of a batch do not mix, so every image's figures are exact and as if it had been alone.
//   B images, classes logits
import { NumericError, ShapeError } from '../base/errors.ts'
import { checkOptions } from '../base/options.ts'
import { zeros } from '../core/fill.ts'
import { gatesOf } from '../nn/gates.ts'
import { attention } from '../ops/attention/attention.ts'
import { batchNorm } from '../ops/batchnorm.ts'
import { abs, add, mul, overOrZero, scale, sub } from '../ops/elementwise.ts'
import { sum } from '../ops/reduce.ts'
import { softmax } from '../ops/softmax.ts'
import { withPrecision } from '../core/precision.ts'
import { type Call, pullback, record, unrecorded } from '../core/tape.ts'
import { type Tensor, tensor, unscoped } from '../core/tensor.ts'
import { scope } from '../core/transform.ts'
import { disposeTree, namesOf } from '../core/tree.ts'
import type { Model } from '../nn/model.ts'
import { type Composite, type LrpRule, rulesFor } from './composite.ts'
import { Network } from './network.ts'
import { Ledger } from './conservation.ts'
import { firstNonFiniteRelevance } from './diagnose.ts'

/** What is asked for. */
export interface Request {
  /** Read gates, by their paths; default false. */
  gates?: boolean
  /** Read attention heads at the softmax (sum over keys), as `<path of the attention>.softmax`; default false. */
  softmax?: boolean
  /**
   * Absolute value per token and per image before the sum over tokens, as Pruning by eXplaining has it; `everywhere`
   * takes it of every pixel of a filter's map too, as Yeom et al. 2021 do; default false: signed.
   */
  absolute?: boolean | 'everywhere'
  /** Notes down where relevance goes. */
  ledger?: Ledger
  /**
   * Sees activation and coefficient of each gate and softmax that is read, in full; both are the visitor's to free.
   * Nothing else is read then.
   */
  visit?: (path: string, activation: Tensor, coefficient: Tensor, toUnits: ToUnits) => void
}

/** Sums what has the shape of an activation to one vector per image: [B, ...the gate's axes]. */
export type ToUnits = (values: Tensor) => Tensor

/** What was read. All tensors are the caller's to free. */
export interface Reading {
  /** [B, classes] */
  logits: Tensor
  /** [B, C, Y, X]; relevance of every pixel value. */
  input: Tensor
  /** By path: [B, ...the gate's axes]; at a softmax [B, heads]. */
  sites: Map<string, Tensor>
}

/** An attribution method: `targets` [B, classes] has a 1 at each image's class. */
export type AttributionMethod = (model: Model, images: Tensor, targets: Tensor, request?: Request) => Reading

/**
 * One walk back, for attribution methods: how relevance is seeded at the logits, by which rules it goes and how it is
 * read.
 */
export interface Walk {
  /** `unit`: relevance 1, the coefficient 1 / logit. `logit`: coefficient 1. `loss`: gradient of the cross-entropy. */
  seed: 'unit' | 'logit' | 'loss'
  /** Null is the gradient. */
  composite: Composite | null
  /** Relevance is activation times coefficient; `coefficient` reads that alone (a plain gradient). */
  read: 'relevance' | 'coefficient'
}

/**
 * Runs the network and one walk back. Nothing is read back here; where a reading turns out to hold a NaN,
 * `firstNonFiniteRelevance` says which op of which layer made it. @throws ShapeError if targets do not fit the logits,
 * or a rule does not fit its layer.
 */
export function attribute(model: Model, images: Tensor, targets: Tensor, walk: Walk, request: Request = {}): Reading {
  checkOptions('attribute', walk, { seed: true, composite: true, read: true })
  checkOptions('attribute', request, { gates: true, softmax: true, absolute: true, ledger: true, visit: true })
  const names = pathsOf(model)
  // Rules divide by activations: what transforms lose would show.
  const { logits, input, sites } = withPrecision('high', () =>
    scope(() => {
      const { result: logits, calls } = record(() => model.call(images), [images])
      if (logits.shape.join() !== targets.shape.join()) {
        throw new ShapeError(
          `attribute: targets [${targets.shape}] do not fit logits [${logits.shape}]; `
            + 'give a 1 for the class of each image',
        )
      }
      const network = new Network(calls, [images], names.leaves)
      const chosen = walk.composite ? rulesFor(walk.composite, network) : (call: Call): LrpRule => call.op.vjp
      if (walk.composite) refuseUnfolded(calls, chosen)
      const reader = new Reader(calls, images, names, walk, request)
      const ruleFor = (call: Call) => {
        const rule = chosen(call)
        return reader.reading(call, request.ledger ? request.ledger.watching(rule, network) : rule)
      }
      const coefficient = reader.orFree(() => {
        const seed = seedOf(logits, targets, walk.seed)
        return pullback(calls, [[logits, seed]], {
          ruleFor,
          wanted: [images],
          releaseExcept: new Set([images, logits, targets]),
        }).get(images)
      })
      if (!coefficient) throw new ShapeError('attribute: the logits do not depend on the images')
      reader.fill(calls)
      // First-layer rules give relevance itself; the others a coefficient.
      const direct = walk.read === 'coefficient' || reader.direct
      return { logits, input: direct ? coefficient : unrecorded(() => mul(images, coefficient)), sites: reader.sites }
    }))
  return { logits, input, sites }
}

/** What starts at the logits, [B, classes]. */
export function seedOf(logits: Tensor, targets: Tensor, seed: Walk['seed']): Tensor {
  return unrecorded(() =>
    seed === 'logit' ? targets : seed === 'unit' ? overOrZero(targets, logits) : sub(softmax(logits), targets)
  )
}

/** Rules that treat the signs of weights apart would take a convolution without the batch norm that rescales it. */
function refuseUnfolded(calls: readonly Call[], chosen: (call: Call) => LrpRule) {
  const bySign = new Set(calls.filter((call) => chosenBySign(call, chosen)).map(({ out }) => out))
  if (calls.some(({ op, args }) => op === batchNorm.op && args[0] && bySign.has(args[0]))) {
    throw new ShapeError(
      'attribute: z-plus, gamma and alpha-beta look at the signs of weights, which batch norm still changes here; '
        + 'pass the model through foldBatchNorm first',
    )
  }
}

function chosenBySign(call: Call, chosen: (call: Call) => LrpRule): boolean {
  return call.op.weight !== null && chosen(call).bySign === true
}

/** Reads relevance as the walk passes a place, so that no activation is kept for it. */
class Reader {
  readonly sites = new Map<string, Tensor>()
  /** Whether the input got relevance rather than a coefficient. */
  direct = false
  private readonly batch: number
  private readonly gates: ReadonlyMap<object, string>
  private readonly softmaxes = new Map<Call, string>()
  private readonly walk: Walk
  private readonly request: Request

  constructor(
    calls: readonly Call[],
    images: Tensor,
    { gates, softmaxes }: ReturnType<typeof pathsOf>,
    walk: Walk,
    request: Request,
  ) {
    this.batch = images.shape[0]
    this.gates = gates
    this.walk = walk
    this.request = request
    // An attention's softmax is named after the gate on its output that is read there.
    const attentions = new Map(calls.filter(({ op }) => op === attention.op).map((call) => [call.out, call]))
    for (const call of calls) {
      const read = call.op.is('gate') && attentions.get(call.args[0]!)
      const path = this.gateOf(call)
      const site = path === undefined ? undefined : softmaxes.get(path)
      if (read && site !== undefined) this.softmaxes.set(read, site)
    }
  }

  private gateOf({ op, attrs }: Call): string | undefined {
    return op.is('gate') ? this.gates.get((attrs as { at?: object }).at ?? {}) : undefined
  }

  /** Runs the walk; what was read by then is freed if it throws. */
  orFree<R>(walk: () => R): R {
    try {
      return walk()
    } catch (error) {
      disposeTree([...this.sites.values()])
      throw error
    }
  }

  /** A gate that is passed more than once adds its readings up. */
  private note(name: string, read: Tensor) {
    const before = this.sites.get(name)
    this.sites.set(name, before ? unscoped(() => add(before, read)) : read)
    if (before) disposeTree([before, read])
  }

  /** Zeros for places that no relevance reached, such as queries under CP-LRP. */
  fill(calls: readonly Call[]) {
    for (const call of calls) {
      const name = this.request.gates ? this.gateOf(call) : undefined
      if (name === undefined || this.request.visit || this.sites.has(name)) continue
      const { axes } = call.attrs as { axes: readonly number[] }
      this.sites.set(name, unscoped(() => zeros([this.batch, ...axes.map((axis) => call.out.shape.at(axis)!)])))
    }
  }

  /** The rule, and the reading at its call where one is due. */
  reading(call: Call, rule: LrpRule): LrpRule {
    const gate = this.request.gates ? this.gateOf(call) : undefined
    const head = this.request.softmax ? this.softmaxes.get(call) : undefined
    return (at, c) => {
      if (rule.firstLayerOnly) this.direct = true
      const name = gate ?? head
      if (name !== undefined) {
        const axes = gate === undefined ? [2] : (at.attrs as { axes: readonly number[] }).axes
        const factor = head === undefined ? 1 : rule.atSoftmax ?? 1
        const toUnits: ToUnits = (values) => perImage(values, axes, this.batch, this.request.absolute ?? false, factor)
        if (this.request.visit) {
          unscoped(() => {
            this.request.visit!(name, at.out.view(at.out.shape), c.view(c.shape), toUnits)
          })
        } else this.note(name, toUnits(this.walk.read === 'coefficient' ? c : mul(at.out, c)))
      }
      return rule(at, c)
    }
  }
}

/**
 * One vector per image, outside all scopes: sums over what lies within a unit (pixels of a channel, channels of a
 * head), then over tokens and windows, of absolute values if asked for. Leading entries of a batch of windows belong to
 * their image.
 */
export function perImage(
  values: Tensor,
  gateAxes: readonly number[],
  batch: number,
  absolute: boolean | 'everywhere',
  factor: number,
): Tensor {
  const axes = gateAxes.map((axis) => axis < 0 ? axis + values.shape.length : axis), first = Math.min(...axes)
  const inner = values.shape.map((_, axis) => axis).filter((axis) => axis > first && !axes.includes(axis))
  const middle = values.shape.map((_, axis) => axis).filter((axis) => axis > 0 && axis < first)
  return unscoped(() =>
    scope(() =>
      unrecorded(() => {
        const taken = absolute === 'everywhere' ? abs(values) : values
        let r = inner.length ? sum(taken, { axes: inner, keep: true }) : taken
        if (absolute) r = abs(r)
        if (middle.length) r = sum(r, { axes: middle, keep: true })
        const perWindow = r.view([batch, values.shape[0] / batch, ...axes.map((axis) => values.shape[axis])])
        r = sum(perWindow, { axes: [1] })
        return factor === 1 ? r : scale(r, { by: factor })
      })
    )
  )
}

/**
 * Names of the softmaxes at which gates are read, by the gate's path: `<path of the attention>.softmax`, or
 * `<gate>.softmax` where one object holds several such gates.
 */
export function softmaxSites(model: unknown): Map<string, string> {
  const read = gatesOf(model).flatMap(([path, { readAt }]) => readAt === 'softmax' ? [path] : [])
  const owner = (path: string) => path.slice(0, path.lastIndexOf('.') + 1)
  return new Map(read.map((path) => {
    const alone = read.every((other) => other === path || owner(other) !== owner(path))
    return [path, `${alone ? owner(path) : `${path}.`}softmax`]
  }))
}

/** Paths of a model's tensors, gates, and softmaxes at which gates are read. */
export function pathsOf(
  model: unknown,
): { leaves: Map<Tensor, string>, gates: Map<object, string>, softmaxes: Map<string, string> } {
  return {
    leaves: namesOf(model),
    gates: new Map(gatesOf(model).map(([path, gate]) => [gate, path])),
    softmaxes: softmaxSites(model),
  }
}

/**
 * How per-image scores become one score per unit. `abs-of-mean` and `signed` want signed readings, `mean-of-abs`
 * absolute ones, with
 * `-everywhere` of every single value.
 */
export type Aggregation = 'signed' | 'abs-of-mean' | 'mean-of-abs' | 'mean-of-abs-everywhere'

/** One pass of images and their classes. */
export interface Batch {
  images: Tensor
  targets: Tensor
}

/** How `scoreUnits` reads: `gates` (default true) and heads at the softmax of attentions (default false). */
export interface UnitReading {
  /** Default `mean-of-abs`. */
  aggregation?: Aggregation
  gates?: boolean
  softmax?: boolean
}

/**
 * Scores of every gate's units, averaged over images: how Pruning by eXplaining ranks components. Memory does not grow
 * with the number of batches; each batch's tensors are freed here. `from` picks gates, the softmax of attentions, or
 * both.
 * @throws NumericError naming the unit whose relevance is not finite, and the op and layer that first gave such a
 * value.
 */
export async function scoreUnits(
  model: Model,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  method: AttributionMethod,
  options: UnitReading = {},
): Promise<Map<string, Float32Array>> {
  checkOptions('scoreUnits', options, { aggregation: true, gates: true, softmax: true })
  return meansOf(await sumUnits(model, batches, method, options), options.aggregation)
}

/** What so many images said, summed up in doubles by where it was read. Sums of parts of a data set add up. */
export interface ScoreSums {
  images: number
  sums: ReadonlyMap<string, Float64Array>
}

/** The sums that `scoreUnits` divides by the number of images. @throws NumericError as it does. */
export async function sumUnits(
  model: Model,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  method: AttributionMethod,
  options: UnitReading = {},
): Promise<ScoreSums> {
  const { aggregation = 'mean-of-abs', gates = true, softmax: heads = false } = options
  const absolute = aggregation === 'mean-of-abs-everywhere' ? 'everywhere' : aggregation === 'mean-of-abs'
  const totals = new Map<string, Float64Array>()
  let images = 0
  for await (const batch of batches) {
    const reading = method(model, batch.images, batch.targets, { gates, softmax: heads, absolute })
    for (const [path, site] of reading.sites) {
      const values = await site.data() as Float32Array, bad = values.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) {
        const size = values.length / batch.images.shape[0]
        const where = await firstNonFiniteRelevance(model, batch.images, batch.targets, method)
        throw new NumericError(
          `relevance of ${path}, unit ${bad % size}, is ${values[bad]} for image ${images + Math.floor(bad / size)}: ${
            where ?? 'run again, every value is finite'
          }`,
        )
      }
      addUp(totals, path, values, batch.images.shape[0])
    }
    images += batch.images.shape[0]
    disposeTree([reading.logits, reading.input, [...reading.sites.values()], batch.images, batch.targets])
  }
  return { images, sums: totals }
}

/** What sums come to for each image, by the aggregation that they were read for. */
export const meansOf = ({ images, sums }: ScoreSums, aggregation?: Aggregation): Map<string, Float32Array> =>
  new Map([...sums].map(([path, total]) => [
    path,
    Float32Array.from(total, (value) => aggregation === 'abs-of-mean' ? Math.abs(value / images) : value / images),
  ]))

function addUp(totals: Map<string, Float64Array>, path: string, values: Float32Array, batch: number) {
  const size = values.length / batch
  const total = totals.get(path) ?? new Float64Array(size)
  values.forEach((value, i) => {
    total[i % size] += value
  })
  totals.set(path, total)
}

/**
 * Targets for `attribute`: [B, classes] with a 1 at each image's class. @throws ShapeError for a class that does not
 * exist.
 */
export function oneHot(classes: readonly number[] | Int32Array, count: number): Tensor {
  const data = new Float32Array(classes.length * count)
  classes.forEach((c, i) => {
    if (!Number.isInteger(c) || c < 0 || c >= count) {
      throw new ShapeError(`oneHot: class ${c} of image ${i}; expected 0 to ${count - 1}`)
    }
    data[i * count + c] = 1
  })
  return tensor(data, [classes.length, count])
}

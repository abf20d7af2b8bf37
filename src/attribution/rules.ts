// Rules of layer-wise relevance propagation. What travels back is the coefficient c = R / activation, so LRP-0 of a
// linear map is its vjp, and a rule is: change the call, rescale the coefficient, run the op's own vjp. Formulas:
// docs/attribution.md.
//   x input, W weight, b bias, z output, a = |x| |W| + |b|
import { full } from '../core/fill.ts'
import { abs, add, expanded, greater, mul, neg, relu, scale, square, sub, where } from '../ops/elementwise.ts'
import { sum } from '../ops/reduce.ts'
import { type Call, pullback, record } from '../core/tape.ts'
import { type Tensor, tensor } from '../core/tensor.ts'
import { rulesFor, type Composite, type LrpRule } from './composite.ts'
import { Network } from './network.ts'
import { alphaBetaFactors, bySide, gammaFactors, join, overPositive, rescale } from './rescale.ts'

/** The signed stabiliser of denominators, as the field's toolkits have it. */
const defaultEps = 1e-6

/** A call with other values for its weight and bias (and input, if given). */
function withParameters(
  call: Call,
  change: (parameter: Tensor) => Tensor,
  input: Tensor | null = null,
  bias: 'changed' | 'none' = 'changed',
): Call {
  const { weight, bias: biasAt } = call.op
  const args = call.args.map((arg, i) => {
    if (i === 0 && input) return input
    if (!arg || (i !== weight && i !== biasAt)) return arg
    return i === biasAt && bias === 'none' ? null : change(arg)
  })
  return { ...call, args }
}

const run = (call: Call) => call.op.call(call.args, call.attrs)
const negativePart = (x: Tensor) => neg(relu(neg(x)))
const back = (call: Call, c: Tensor) => call.op.vjp(call, c)

/** The sum of the absolute values of what a layer adds up: one product of |x| and |W|. */
const absoluteSum = (call: Call) => run(withParameters(call, abs, abs(call.args[0]!)))

/** The gradient: LRP-0 of every linear map. */
export const vjp: LrpRule = (call, c) => call.op.vjp(call, c)

/** Nothing goes further. */
export const stop: LrpRule = (call) => call.args.map(() => null)

/** Epsilon rule (Bach et al. 2015): R_x = x W R / (z ± eps). */
export const epsilon = (eps = defaultEps): LrpRule => (call, c) => back(call, rescale(c, call.out, call.out, eps))

/** The rule of sums and average pools: epsilon on an op without parameters. */
export const norm = epsilon

/**
 * Generalised gamma rule, for inputs of any sign: contributions of the output's own sign count (1 + gamma) times. Three
 * products:
 * |x| |W| forward, and back with W and with |W|.
 */
export function gamma(strength = 0.25, eps = defaultEps): LrpRule {
  return bySignOf((call, c) => joined(call, gammaFactors(c, call.out, absoluteSum(call), strength, eps)))
}

/**
 * Alpha-beta rule (alpha - beta = 1): positive contributions share alpha R, negative ones -beta R. Three products as in
 * `gamma`.
 */
export function alphaBeta(alpha = 2, beta = 1, eps = defaultEps): LrpRule {
  if (beta === 0) return zPlus(eps)
  return bySignOf((call, c) => joined(call, alphaBetaFactors(c, call.out, absoluteSum(call), alpha, beta, eps)))
}

/**
 * z-plus (alpha 1, beta 0): positive contributions share R. Three products; back with max(W, 0) and min(W, 0), so
 * nothing cancels.
 */
export function zPlus(eps = defaultEps): LrpRule {
  return bySignOf((call, c) => {
    const share = overPositive(c, call.out, absoluteSum(call), eps)
    const { bias, weight } = call.op
    const positive = back(withParameters(call, relu), share)
    const negative = back(withParameters(needing(call, 0), negativePart), share)
    return call.args.map((arg, i) => {
      if (i === 0) return positive[0] && negative[0] && bySide(arg!, positive[0], negative[0])
      if (i === weight) return weightPart(call, (x) => bySide(arg!, x(relu, share), x(negativePart, share)))
      const part = i === bias ? positive[i] : null
      return part && mul(part, greater(arg!, full([], 0)))
    })
  })
}

const bySignOf = (rule: LrpRule): LrpRule => Object.assign(rule, { bySign: true as const })

/**
 * vjp with W for the first factor plus, by the sign of what it belongs to, with |W| for the second. A bias is a weight
 * of input 1.
 */
function joined(call: Call, [plain, forAbsolute]: [Tensor, Tensor]): (Tensor | null)[] {
  const { bias, weight } = call.op
  const signed = back(call, plain), absolute = back(withParameters(call, abs), forAbsolute)
  return call.args.map((arg, i) => {
    if (i === weight) return weightPart(call, (x) => join(signed[i]!, arg!, x(abs, forAbsolute)))
    return (i === 0 || i === bias) && signed[i] && absolute[i] ? join(signed[i], arg!, absolute[i]) : null
  })
}

/** The call where only one argument is asked for. */
const needing = (call: Call, at: number | null): Call => ({
  ...call,
  needs: call.needs.map((need, i) => need && i === at),
})

/**
 * The coefficient of a weight, whose relevance is what goes through it: w times it. `made` puts it together of
 * gradients to the weight for other inputs and factors; null where nobody asks for it.
 */
function weightPart(
  call: Call,
  made: (part: (input: (x: Tensor) => Tensor, factor: Tensor) => Tensor) => Tensor,
): Tensor | null {
  const { weight } = call.op
  if (weight === null || !call.needs[weight]) return null
  const own = needing(call, weight)
  return made((input, factor) => {
    const args = call.args.map((arg, i) => i === 0 ? input(arg!) : arg)
    return back({ ...own, args }, factor)[weight]!
  })
}

/**
 * Identity rule: all relevance of f(x) goes to x, by f(x) / x in closed form where there is one, else divided by x ±
 * eps.
 */
export const identity = (eps = 1e-9): LrpRule => (call, c) => {
  const [x] = call.args
  return [call.op.ratio(x!, c, call.attrs) ?? rescale(c, call.out, x!, eps)]
}

/** The op's vjp with each argument's share of it; 0 stops there without computing anything. */
export const share = (...parts: readonly number[]): LrpRule => (call, c) => {
  const part = (i: number) => parts[i] ?? 0
  return back({ ...call, needs: call.needs.map((need, i) => need && part(i) !== 0) }, c)
    .map((d, i) => d && part(i) !== 1 ? scale(d, { by: part(i) }) : d)
}

/** Products: each of the factors that relevance goes to gets an equal share (AttnLRP, proposition 3.2 and 3.3). */
export const uniform: LrpRule = (call, c) => {
  const factors = call.needs.filter(Boolean).length
  return factors > 1 ? share(...call.needs.map((need) => need ? 1 / factors : 0))(call, c) : back(call, c)
}

/** A quotient: the denominator is a normaliser and held constant. */
export const quotient: LrpRule = (call, c) => back({ ...call, needs: [call.needs[0], false] }, c)

/**
 * A rule on the call with its statistics held constant: 1 / std of a layer norm, the normaliser of linear attention.
 */
export const detached = (rule: LrpRule = vjp): LrpRule => (call, c) => rule({ ...call, detached: true }, c)

/**
 * Opens a fused op: replays it as plain ops and walks those by a composite of their own. `form` takes the op's
 * arguments and attributes.
 */
export const inside =
  <A>(form: (args: readonly (Tensor | null)[], attrs: A) => Tensor, composite: Composite): LrpRule => (call, c) => {
    const wanted = call.args.filter((_, i) => call.needs[i]) as Tensor[]
    const { result, calls } = record(() => form(call.args, call.attrs as A), wanted)
    const found = pullback(calls, [[result, c]], { ruleFor: rulesFor(composite, new Network(calls, [])), wanted })
    return call.args.map((arg) => {
      if (!arg) return null
      const part = found.get(arg) ?? null
      found.delete(arg) // an argument given twice has one sum for both
      return part
    })
  }

/**
 * z-plus rule of the softmax over the last axis, seen as a map of its logits by the Jacobian s_i (1[i = j] - s_j). Its
 * positive part has a closed form per row, so no Jacobian is built. `virtualBias` adds what the linear map lacks of s
 * to the denominator.
 */
export const softmaxZPlus = ({ virtualBias = false, eps = defaultEps } = {}): LrpRule => (call, c) => {
  const s = call.out
  const rows = { axes: [-1], keep: true }
  const x = where(s, call.args[0]!, full([], 0)) // a masked logit is -infinity; it has no share
  const positive = relu(x), negative = relu(neg(x))
  const weightedNegative = mul(negative, s)
  const rest = sub(full([], 1), s) // 1 - s
  // o_i = s_i (x_i+ (1 - s_i) + sum over j other than i of x_j- s_j)
  let denominator = mul(s, add(mul(positive, rest), sub(sum(weightedNegative, rows), weightedNegative)))
  if (virtualBias) {
    const linear = mul(s, sub(x, sum(mul(x, s), rows))) // the whole linear map at i
    denominator = add(denominator, relu(sub(s, linear)))
  }
  const t = rescale(c, s, denominator, eps) // R_i / (o_i ± eps)
  const st = mul(s, t)
  const above = mul(rest, st), below = neg(mul(s, sub(sum(st, rows), st)))
  return [where(greater(x, full([], 0)), above, where(negative, below, full([], 0)))]
}

const firstLayer = (rule: LrpRule): LrpRule => Object.assign(rule, { firstLayerOnly: true as const })

/** The layer on an input of ones, without its bias or with it. */
const onOnes = (call: Call, change: (parameter: Tensor) => Tensor, bias: 'changed' | 'none') =>
  withParameters(call, change, full(call.args[0]!.shape, 1), bias)

/** w-square rule, first layer only: R_x = W² R / sum W², whatever the input. */
export const wSquare = (eps = defaultEps): LrpRule =>
  firstLayer((call, c) => {
    const squared = onOnes(call, square, 'changed')
    return [back(squared, rescale(c, call.out, run(squared), eps))[0]]
  })

/** Flat rule, first layer only: every input of a unit gets the same share of its relevance. */
export const flat = (eps = defaultEps): LrpRule =>
  firstLayer((call, c) => {
    const ones = onOnes(call, (weight) => full(weight.shape, 1), 'none')
    return [back(ones, rescale(c, call.out, run(ones), eps))[0]]
  })

/** Bounds of the pixels: numbers, or one per channel of [B, C, Y, X]. */
export interface Box {
  low: number | readonly number[]
  high: number | readonly number[]
}

/**
 * z-box rule, first layer only: R_x = x W S - low W+ S - high W- S with S = R / (the same sum of contributions); the
 * bias cancels.
 */
export const zBox = ({ low, high }: Box, eps = defaultEps): LrpRule =>
  firstLayer((call, c) => {
    const x = call.args[0]!
    const perChannel = (values: readonly number[]) =>
      tensor([...values], [values.length, ...x.shape.slice(2).map(() => 1)])
    const bound = (values: Box['low']) =>
      expanded(typeof values === 'number' ? tensor([values]) : perChannel(values), x.shape)
    const parts = [
      withParameters(call, (weight) => weight, x, 'none'),
      withParameters(call, relu, bound(low), 'none'),
      withParameters(call, negativePart, bound(high), 'none'),
    ].map((part) => ({ ...part, needs: part.needs.map((need, i) => need && i === 0) }))
    const less = (terms: Tensor[]) => sub(sub(terms[0], terms[1]), terms[2])
    const share = rescale(c, call.out, less(parts.map(run)), eps)
    return [less(parts.map((part) => mul(part.args[0]!, back(part, share)[0]!)))]
  })

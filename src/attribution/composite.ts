// Which rule a call gets: the first line of a composite that matches what its op is and, where the line says so, its
// layer.
import { InputError, ShapeError } from '../base/errors.ts'
import { opNames } from '../core/op.ts'
import { type Role, roles } from '../core/roles.ts'
import type { Call, Rule } from '../core/tape.ts'
import '../ops/index.ts' // so that the names of all ops are known here
import type { LayerSelector, Network } from './network.ts'

/** A rule, perhaps for the first layer only: then it returns relevance instead of a coefficient. */
export interface LrpRule extends Rule {
  /** Not proportional to the input, so it is refused anywhere but at the layer that reads the image. */
  readonly firstLayerOnly?: true
  /** Treats the signs of weights apart, so batch norm must be folded into them first (`foldBatchNorm`). */
  readonly bySign?: true
  /** For attention: the share of its output's relevance that is read at the softmax (AttnLRP a half, CP-LRP all). */
  readonly atSoftmax?: number
}

/** Which ops a line applies to: a name (`'linear'`), a role (`{ role: 'dense' }`: whatever op has it), or `'*'`. */
export type OpSelector = string | { role: Role }

/** One line of a composite. */
export interface Line {
  ops: readonly OpSelector[]
  /** Null is every layer. */
  where: LayerSelector | null
  rule: LrpRule
}

/** Lines in order; the first that matches a call wins, and a call that none matches gets its vjp. */
export type Composite = readonly Line[]

/**
 * A line of a composite: `on({ role: 'dense' }, epsilon())`, `on('conv2d', { first: true }, flat())`.
 * @throws InputError listing the names or roles, for one that no op has.
 */
export function on(ops: OpSelector | readonly OpSelector[], rule: LrpRule): Line
export function on(ops: OpSelector | readonly OpSelector[], where: LayerSelector, rule: LrpRule): Line
export function on(
  ops: OpSelector | readonly OpSelector[],
  whereOrRule: LayerSelector | LrpRule,
  rule?: LrpRule,
): Line {
  const list = isList(ops) ? ops : [ops]
  list.forEach(check)
  return rule
    ? { ops: list, where: whereOrRule as LayerSelector, rule }
    : { ops: list, where: null, rule: whereOrRule as LrpRule }
}

const isList = (ops: OpSelector | readonly OpSelector[]): ops is readonly OpSelector[] => Array.isArray(ops)

function check(selector: OpSelector) {
  if (typeof selector === 'string') {
    if (selector === '*' || opNames().includes(selector)) return
    throw new InputError(
      `on: no op is called '${selector}'; expected ${
        opNames().join(', ')
      }, '*', or a role ({ role: 'dense' }); an op of `
        + 'your own must be defined before a composite names it',
    )
  }
  if (!roles.includes(selector.role)) {
    throw new InputError(`on: no op has the role '${String(selector.role)}'; expected ${roles.join(', ')}`)
  }
}

const matches = (selector: OpSelector, { op }: Call) =>
  typeof selector === 'string' ? selector === '*' || selector === op.name : op.is(selector.role)

/**
 * The rules of a composite for the calls of a network.
 * @throws ShapeError (from the rule) where a first-layer rule meets another layer.
 */
export function rulesFor(composite: Composite, network: Network): (call: Call) => LrpRule {
  return (call) => {
    const line = composite.find(({ ops, where }) =>
      ops.some((selector) => matches(selector, call)) && (where === null || network.isAt(call, where))
    )
    const rule: LrpRule = line?.rule ?? call.op.vjp
    if (rule.firstLayerOnly && !network.isFirst(call)) {
      const path = network.pathOf(call)
      throw new ShapeError(
        `${call.op.name}${path ? ` (${path})` : ''}: w-square, flat and z-box are for the layer that reads the image, `
          + 'since their relevance is not proportional to the input; give it the layers { first: true }',
      )
    }
    const applied: LrpRule = (at, c) => rule(network.withoutStatistics(at), c)
    return Object.assign(applied, {
      firstLayerOnly: rule.firstLayerOnly,
      bySign: rule.bySign,
      atSoftmax: rule.atSoftmax,
    })
  }
}

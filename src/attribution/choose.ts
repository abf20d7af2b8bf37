// Which rule a call gets: the first line of a composite that matches its op and, where the line says so, its place.
import { ShapeError } from '../base/errors.ts'
import type { Call, Rule } from '../core/tape.ts'
import type { Tensor } from '../core/tensor.ts'

/** A rule, perhaps for the first layer only: then it returns relevance instead of a coefficient. */
export interface LrpRule extends Rule {
  /** Not proportional to the input, so it is refused anywhere but at the layer that reads the image. */
  readonly firstLayerOnly?: true
  /** Treats the signs of weights apart, so batch norm must be folded into them first (`foldBatchNorm`). */
  readonly bySign?: true
  /** For attention: the share of its output's relevance that is read at the softmax (AttnLRP a half, CP-LRP all). */
  readonly atSoftmax?: number
}

/**
 * Depth groups of Pruning by eXplaining (arXiv 2408.12568): first quarter of the blocks, middle, last quarter,
 * classifier.
 */
export type Group = 'low' | 'middle' | 'high' | 'classifier'

/**
 * Where a line applies: a path of the weight that the call reads, `*` standing for anything
 * (`blocks.*.attention.query`); a depth group; a range of depth from 0 (first layer with weights) to 1 (last); or the
 * first layer.
 */
export type Place = string | { group: Group } | { depth: readonly [from: number, to: number] } | { first: true }

/** One line of a composite. */
export interface Line {
  ops: readonly string[]
  place: Place | null
  rule: LrpRule
}

/** Lines in order; the first that matches a call wins, and a call that none matches gets its vjp. */
export type Composite = readonly Line[]

/** A line of a composite: `on('linear', epsilon())`, `on('conv2d', { first: true }, flat())`. */
export function on(ops: string | readonly string[], rule: LrpRule): Line
export function on(ops: string | readonly string[], place: Place, rule: LrpRule): Line
export function on(ops: string | readonly string[], placeOrRule: Place | LrpRule, rule?: LrpRule): Line {
  const list = typeof ops === 'string' ? [ops] : ops
  return rule
    ? { ops: list, place: placeOrRule as Place, rule }
    : { ops: list, place: null, rule: placeOrRule as LrpRule }
}

/** Where an op has its weight and bias: the layers that rules are written for. */
export const weighted: Readonly<Record<string, { weight: number, bias: number }>> = {
  linear: { weight: 1, bias: 2 },
  conv2d: { weight: 1, bias: 2 },
  depthwise: { weight: 1, bias: 2 },
  'masked-linear': { weight: 1, bias: 3 },
}

/** Ops that only move values, so that what follows them still reads the image itself. */
const moving = new Set(['reshape', 'permute', 'slice', 'roll', 'pad', 'gate'])

/** What rules must know about a tape: which weights a call reads, how deep it is, and what is a statistic. */
export class Network {
  private readonly paths: ReadonlyMap<Tensor, string>
  private readonly order = new Map<Call, number>()
  private readonly groups = new Map<string, Group>()
  private readonly layers = new Map<Call, string>()
  /** Tensors that hold the image, perhaps rearranged. */
  private readonly images: Set<Tensor>
  /** Norms and variances, and what is computed from those alone. LRP holds them constant. */
  private readonly statistics = new Set<Tensor>()

  /** `paths` names the model's leaves; `inputs` are the images. */
  constructor(calls: readonly Call[], inputs: Iterable<Tensor>, paths: ReadonlyMap<Tensor, string> = new Map()) {
    this.paths = paths
    this.images = new Set(inputs)
    let layer = ''
    for (const call of calls) {
      layer = this.pathOf(call)?.replace(/\.[^.]+$/, '') ?? layer
      this.layers.set(call, layer)
      const needed = call.args.filter((_, i) => call.needs[i])
      if (moving.has(call.op.name) && needed.length === 1 && this.images.has(needed[0]!)) this.images.add(call.out)
      if (
        call.op.name === 'norm' || call.op.name === 'variance'
        || (needed.length && needed.every((arg) => this.statistics.has(arg!)))
      ) {
        this.statistics.add(call.out)
      }
      if (call.op.name in weighted) this.order.set(call, this.order.size)
    }
    this.findGroups([...this.order.keys()].map((call) => this.pathOf(call)).filter((path) => path !== null))
  }

  /** The path of the weight a call reads (of other ops: of the first parameter), or null. */
  pathOf(call: Call): string | null {
    const place = weighted[call.op.name] as { weight: number } | undefined
    const parameters = place ? [call.args[place.weight]] : call.args.filter((_, i) => !call.needs[i])
    for (const parameter of parameters) {
      const path = parameter && this.paths.get(parameter)
      if (path !== null && path !== undefined) return path
    }
    return null
  }

  /** The layer a call belongs to: that of its own parameters, else of the nearest call before it that has some. */
  layerOf(call: Call): string {
    return this.layers.get(call) ?? ''
  }

  /** Whether a call is a layer with weights that reads the image. */
  isFirst(call: Call): boolean {
    return this.order.has(call) && this.images.has(call.args[0]!)
  }

  /** The call without the arguments that are statistics: nothing flows into them. */
  withoutStatistics(call: Call): Call {
    if (!call.args.some((arg, i) => call.needs[i] && this.statistics.has(arg!))) return call
    return { ...call, needs: call.needs.map((need, i) => need && !this.statistics.has(call.args[i]!)) }
  }

  /** Whether a call is where a line says. */
  isAt(call: Call, place: Place): boolean {
    if (typeof place === 'string') {
      const path = this.pathOf(call)
      return path !== null
        && new RegExp(`^${place.split('*').map((part) => part.replace(/[.[\]()+?^$|\\]/g, '\\$&')).join('.*')}$`).test(
          path,
        )
    }
    if ('first' in place) return this.isFirst(call)
    const rank = this.order.get(call)
    if (rank === undefined) return false
    if ('depth' in place) {
      const depth = this.order.size > 1 ? rank / (this.order.size - 1) : 0
      return depth >= place.depth[0] && depth <= place.depth[1]
    }
    return this.groupOf(call) === place.group
  }

  /** The depth group of a layer with weights; null for other calls and for weights without a path. */
  groupOf(call: Call): Group | null {
    const path = this.pathOf(call)
    return path === null ? null : this.groups.get(blockOf(path)) ?? null
  }

  /** The first list of blocks is the trunk: what comes before counts as low, what comes after is the classifier. */
  private findGroups(paths: readonly string[]) {
    const blocks = [...new Set(paths.map(blockOf))]
    const trunk = blocks.find((block) => /\.\d+$/.test(block))?.replace(/\.\d+$/, '')
    const inTrunk = blocks.filter((block) => trunk !== undefined && block.replace(/\.\d+$/, '') === trunk)
    const quarter = Math.ceil(inTrunk.length / 4)
    let seen = 0
    for (const block of blocks) {
      const inside = inTrunk.includes(block)
      const group = inside
        ? seen < quarter ? 'low' : seen < inTrunk.length - quarter ? 'middle' : 'high'
        : seen === 0
        ? 'low'
        : 'classifier'
      if (inside) seen++
      this.groups.set(block, group)
    }
  }
}

/** `blocks.3.mlp.fc1.weight` is in block `blocks.3`, `head.weight` in `head`. */
const blockOf = (path: string) => /^[^.]+(\.\d+)?/.exec(path)![0]

/**
 * The rules of a composite for the calls of a network.
 * @throws ShapeError (from the rule) where a first-layer rule meets another layer.
 */
export function choose(composite: Composite, network: Network): (call: Call) => LrpRule {
  return (call) => {
    const line = composite.find(({ ops, place }) =>
      (ops.includes(call.op.name) || ops.includes('*')) && (place === null || network.isAt(call, place))
    )
    const rule: LrpRule = line?.rule ?? call.op.vjp
    if (rule.firstLayerOnly && !network.isFirst(call)) {
      const path = network.pathOf(call)
      throw new ShapeError(
        `${call.op.name}${path ? ` (${path})` : ''}: w-square, flat and z-box are for the layer that reads the image, `
          + 'since their relevance is not proportional to the input; give it the place { first: true }',
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

// What relevance rules must know of a network beside the call itself: which weights a call reads, how deep it stands,
// whether it reads the image, and which values are statistics.
import type { Call } from '../core/tape.ts'
import type { Tensor } from '../core/tensor.ts'

/**
 * Depth groups of Pruning by eXplaining (arXiv 2408.12568): first quarter of the blocks, middle, last quarter,
 * classifier.
 */
export type Group = 'low' | 'middle' | 'high' | 'classifier'

/**
 * Which layers a line of a composite applies to: a path of the weight that the call reads, `*` standing for anything
 * (`blocks.*.attention.query`); a depth group; a range of depth from 0 (first layer with weights) to 1 (last); or the
 * first layer.
 */
export type LayerSelector = string | { group: Group } | { depth: readonly [from: number, to: number] } | { first: true }

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
      const moves = call.op.is('movement') || call.op.is('gate')
      if (moves && needed.length === 1 && this.images.has(needed[0]!)) this.images.add(call.out)
      if (
        call.op.is('statistic')
        || (needed.length && needed.every((arg) => this.statistics.has(arg!)))
      ) {
        this.statistics.add(call.out)
      }
      if (call.op.weight !== null) this.order.set(call, this.order.size)
    }
    this.findGroups([...this.order.keys()].map((call) => this.pathOf(call)).filter((path) => path !== null))
  }

  /** The path of the weight a call reads (of other ops: of the first parameter), or null. */
  pathOf(call: Call): string | null {
    const { weight } = call.op
    const parameters = weight === null ? call.args.filter((_, i) => !call.needs[i]) : [call.args[weight]]
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
  isAt(call: Call, where: LayerSelector): boolean {
    if (typeof where === 'string') {
      const path = this.pathOf(call)
      return path !== null
        && new RegExp(`^${where.split('*').map((part) => part.replace(/[.[\]()+?^$|\\]/g, '\\$&')).join('.*')}$`).test(
          path,
        )
    }
    if ('first' in where) return this.isFirst(call)
    const rank = this.order.get(call)
    if (rank === undefined) return false
    if ('depth' in where) {
      const depth = this.order.size > 1 ? rank / (this.order.size - 1) : 0
      return depth >= where.depth[0] && depth <= where.depth[1]
    }
    return this.groupOf(call) === where.group
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

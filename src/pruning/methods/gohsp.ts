// GOHSP (Yin et al., "GOHSP: A Unified Framework of Graph and Optimization-based Heterogeneous Structured Pruning for
// Vision Transformer", AAAI 2023, arXiv 2301.05345): heads ranked by a graph, then heads and neurons driven to zero
// together while the network trains, then cut. No code was published; docs/gohsp.md says what is the paper's and what
// was chosen here.
import { InputError } from '../../base/errors.ts'
import { permutation } from '../../base/random.ts'
import { copyOf } from '../../core/fill.ts'
import { disposeTree, mapTree, parameters } from '../../core/tree.ts'
import { cached } from '../../data/subset.ts'
import { costOf } from '../../nn/macs.ts'
import type { Model } from '../../nn/model.ts'
import { headCorrelations } from '../graph/correlation.ts'
import { headGraphs, type HeadGraphs, headScores } from '../graph/head-rank.ts'
import type { StageRecord } from '../learning/record.ts'
import { type LearningJob, learnStage } from '../learning/stage.ts'
import { rateTarget } from '../learning/target.ts'
import type { Plan } from '../plan/slice.ts'
import { magnitude } from '../scores/magnitude.ts'
import { random } from '../scores/random.ts'
import type { Scores } from '../scores/criterion.ts'
import { planCost } from '../trial.ts'
import { scoreUnitsBy } from './by-criterion.ts'
import { scaledToMean } from './graph.ts'
import { Admm, GroupProjection } from './gohsp/admm.ts'
import { groupsOf } from './gohsp/groups.ts'
import { PatternProjection } from './gohsp/pattern-projection.ts'
import { options, patternOptions, type Settings, settingsOf } from './gohsp/settings.ts'
import { supportsWithin } from './gohsp/supports.ts'
import type { Method, Methods, PatternJob, PatternPruned, PruningJob } from './method.ts'

/** GOHSP as a method. */
export const gohsp: Method = {
  summary: 'heads by a graph, heads and neurons softly to zero by ADMM (GOHSP, arXiv 2301.05345)',
  reads: 'training',
  options,
  stages({ options: given, model, units }) {
    const { epochs } = settingsOf(given), weights = sizeOf(parameters(model))
    const constrained = groupsOf(model, units).flatMap(({ members }) => members.map(({ weight: { size } }) => size))
    // AdamW's two, and Z and U of what is constrained.
    const moments = 2 + 2 * constrained.reduce((a, b) => a + b, 0) / weights
    return [{ name: stageName, epochs, parameters: weights, moments }]
  },
  async prune(job) {
    const set = settingsOf(job.options)
    groupsOf(job.model, job.units) // refused before anything is looked at
    const target = await rateTarget(job), { ranks, graph } = await rankOf(job, set)
    const supports = supportsWithin({ units: job.units, target, ranks, select: job.select, set })
    const model = mapTree(job.model, (leaf) => copyOf(leaf, true))
    const projection = new GroupProjection(groupsOf(model, job.units), (norms) => supports.of(norms))
    const admm = new Admm(projection, admmOptions(set))
    try {
      await admm.start()
      const { graph: how, graphImages, ranking, heads, neurons, headSpread, neuronSpread } = set
      const record = set.epochs
        ? await softly(job, model, admm, set, {
          shares: [heads, neurons, headSpread, neuronSpread],
          ranking: [ranking, how, graphImages],
          budget: [job.budget.kind, job.budget.limit, job.select],
          units: job.units.map(({ name }) => name),
        })
        : null
      const scores = new Map([...await projection.norms(admm.pulled), ...ranks]),
        { plan, notes } = await within(job, projection.support, scores)
      const stages = record ? [record] : []
      return { plan, scores, model, stages, graph, notes: [...notes, ...notesOf(job, plan)] }
    } catch (error) {
      disposeTree(model)
      throw error
    } finally {
      admm.dispose()
    }
  },
  toPattern,
}

/** The same with Z projected onto a sparsity pattern. @throws InputError for options that mean heads and neurons. */
async function toPattern(job: PatternJob): Promise<PatternPruned> {
  const foreign = Object.entries(options).find(([name, { default: usual }]) =>
    !patternOptions.includes(name) && (job.options[name] ?? usual) !== usual
  )
  if (foreign) {
    throw new InputError(
      `method '${job.name}': --set ${foreign[0]} is for cutting heads and neurons; with --pattern expected ${
        patternOptions.join(', ')
      }`,
    )
  }
  const set = settingsOf(job.options), model = mapTree(job.model, (leaf) => copyOf(leaf, true))
  const projection = new PatternProjection(model, job.sites, job.choose), admm = new Admm(projection, admmOptions(set))
  try {
    await admm.start()
    const record = set.epochs ? await softly(job, model, admm, set, job.recipe) : null
    return {
      keep: projection.keep,
      scores: await projection.scores(admm.pulled),
      model,
      stages: record ? [record] : [],
    }
  } catch (error) {
    disposeTree(model)
    throw error
  } finally {
    admm.dispose()
  }
}

const stageName = 'soft-pruning'
const sizeOf = (found: ReturnType<typeof parameters>) => found.reduce((sum, [, { size }]) => sum + size, 0)

/** Scores of heads: by the graph of some images, or by what it is compared with. */
async function rankOf(
  job: PruningJob,
  { graph, graphImages, ranking }: Settings,
): Promise<{ ranks: Scores, graph?: HeadGraphs }> {
  const heads = job.units.filter(({ kind }) => kind === 'heads'), data = job.references ?? job.data!
  if (!heads.length) return { ranks: new Map() }
  if (ranking !== 'graph') {
    const criterion = ranking === 'random' ? random : magnitude('l2')
    return { ranks: scaledToMean(await scoreUnitsBy(criterion, { ...job, units: heads })) }
  }
  const some = permutation(data.length, job.seed, 'graph').slice(0, graphImages).toSorted()
  const correlations = await headCorrelations({
    model: job.model,
    units: heads,
    images: await cached(data, some),
    batch: Math.min(job.batch, 16),
    source: graph.source,
    onProgress: (images) => job.onProgress?.('reading attention maps', images, some.length),
  })
  const layers = await headGraphs(correlations, graph)
  return { ranks: headScores(layers), graph: { ...graph, images: some.length, layers } }
}

const admmOptions = (set: Settings) => ({
  rho: set.rho,
  growth: set.rhoGrowth,
  cap: set.rhoCap,
  every: set.every,
  tolerance: set.tolerance,
  duals: set.soft === 'admm',
})

/**
 * Trains `model` with the penalty until what is to go is about zero; `recipe` is what must not change between two
 * attempts.
 */
function softly(
  job: LearningJob,
  model: Model,
  admm: Admm,
  set: Settings,
  recipe: Record<string, unknown>,
): Promise<StageRecord> {
  const { soft, rho, rhoGrowth, rhoCap, every, tolerance } = set
  return learnStage(job, model, {
    name: stageName,
    epochs: set.epochs,
    rate: set.rate,
    decay: set.decay,
    clip: 1,
    penalty: () => admm.penalty(),
    hooks: [admm.hook()],
    distill: set.distill === 'none' ? null : { kind: set.distill, temperature: set.temperature },
    layers: 'residual',
    recipe: {
      admm: [soft, rho, rhoGrowth, rhoCap, every, tolerance],
      ...recipe,
    },
    measure: () => admm.measured(),
    note: ({ residual, rho: now }) => `residual ${residual.toFixed(4)}, rho ${Number(now.toPrecision(3))}`,
  })
}

/** What Z keeps, and no more than the budget: time and bytes are measured, the others were aimed at by shapes. */
async function within(job: PruningJob, support: Plan, scores: Scores): Promise<{ plan: Plan, notes: string[] }> {
  const { model, found, input, budget: { kind, limit } } = job
  const over = kind === 'macs' || kind === 'params'
    ? planCost(model, found, support, input)[kind] > limit * costOf(model, input)[kind]
    : kind !== 'keep'
  if (!over) return { plan: support, notes: [] }
  // What Z dropped goes first, in whatever order, then the least of what it keeps.
  const lowest = new Map([...scores].map(([name, values]) => {
    const keep = support.get(name)!, least = Math.min(...values) - 1
    return [name, values.map((value, i) => keep[i] ? value - least : value - 3e38)]
  }))
  const { plan, notes } = await job.choose(lowest)
  return {
    plan: new Map([...support].map(([name, keep]) => [name, keep.map((flag, i) => flag & plan.get(name)![i])])),
    notes,
  }
}

/** How many heads and other elements stay, and what that leaves. */
function notesOf({ model, found, input, units, budget: { kind, limit } }: PruningJob, plan: Plan): string[] {
  const part = (own: typeof units) => {
    const kept = own.reduce((sum, { name }) => sum + plan.get(name)!.reduce((a, b) => a + b, 0), 0)
    return `${kept} of ${own.reduce((sum, { size }) => sum + size, 0)}`
  }
  const heads = units.filter((unit) => unit.kind === 'heads'), rest = units.filter((unit) => unit.kind !== 'heads')
  const stays = [heads.length && `${part(heads)} heads`, rest.length && `${part(rest)} neurons`].filter(Boolean)
  if (kind !== 'macs' && kind !== 'params') return [`${stays.join(' and ')} stay`]
  const came = planCost(model, found, plan, input)[kind] / costOf(model, input)[kind]
  const coarse = came < limit - 0.01 ? ': heads are whole, no closer was there' : ''
  return [
    `${stays.join(' and ')} stay: ${(100 * came).toFixed(1)} % of the ${kind}, asked for ${
      (100 * limit).toFixed(1)
    } %${coarse}`,
  ]
}

/** By name. */
export const methods: Methods = { gohsp }

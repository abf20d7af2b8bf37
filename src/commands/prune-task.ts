// What the jobs of `prune --on slurm` do: a task scores by the images of one shard into a file of its own; when all
// have ended, one more adds the sums in the order of shards and prunes as if one machine had scored.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { disposeTree } from '../core/tree.ts'
import { lockFile, lockFolder, waitForLock } from '../files/lock.ts'
import { makeFolder, writeOutput } from '../files/output.ts'
import { close, init } from '../gpu/device.ts'
import type { Model } from '../nn/model.ts'
import { sumBy } from '../pruning/methods/by-criterion.ts'
import { attemptsFolder } from '../sweeps/attempts.ts'
import { slurmFolder } from '../sweeps/jobs.ts'
import { planFile } from '../sweeps/plan-file.ts'
import { placeOf } from '../sweeps/point.ts'
import { findShard, type PrunePlan, type Range, rangesOf, readPrunePlan, settingsDigest, type Shard, shardKey,
  sumOfShards, writeShard } from '../sweeps/shards.ts'
import { type Answer, follow, type Reporter } from './command.ts'
import { checkPrune, preparePrune, pruneChecked } from './prune-run.ts'
import { criterionInShards, scoringSettings } from './prune-plan.ts'
import type { PruneOptions } from './prune-setup.ts'
import { cachePart, type Job, openModel, prepareJob, referencePositions } from './pruner.ts'
import { namedMethod } from './method.ts'
import { compareSettings } from './result-folder.ts'
import type { Planned } from './slurm-flags.ts'
import { incomplete, PATIENCE, takeUp, withOutcome } from './slurm-job.ts'

type Flags = PruneOptions & { args: string[] }

/** Where the last job puts what it answers. */
export const answerFile = (folder: string): string => join(slurmFolder(folder), 'answer.json')

/** The plan of a folder, taken up. @throws InputError. */
function takeUpPrune({ folder, digest }: Planned): { plan: PrunePlan, options: Flags } {
  const plan = readPrunePlan(folder, folder)
  takeUp(plan, folder, digest)
  return { plan, options: { ...plan.options, args: [plan.model] } as unknown as Flags }
}

/** Model and images must be those of the plan. @throws InputError naming what differs. */
const compare = (plan: PrunePlan, folder: string, options: Flags, job: Job): void => {
  compareSettings(plan.settings, scoringSettings(options, job), plain(planFile(folder)), 'submit again')
}

/**
 * Scores by the images of one shard, unless an earlier attempt has. Waits while another process is at it. @throws
 * InputError where the plan, or what it depends on, is not what was submitted.
 */
export async function runShard(planned: Planned, index: number, reporter: Reporter): Promise<Answer> {
  const { folder } = planned, { plan, options } = takeUpPrune(planned)
  const range = rangesOf(plan)[index] as Range | undefined
  if (!range) {
    throw new InputError(
      `${plain(planFile(folder))}: expected one of ${rangesOf(plan).length} tasks, found task ${index}; submit again`,
    )
  }
  const method = await namedMethod(options.method), criterion = criterionInShards(options, method)
  const job = await prepareJob(plan.model, { ...options, units: options.units ?? method.kinds?.join(',') }, reporter)
  compare(plan, folder, options, job)
  const key = shardKey(range), of = settingsDigest(plan)
  makeFolder(attemptsFolder(folder))
  const lock = await waitForLock(() => lockFile(join(attemptsFolder(folder), key)), {
    onWait: (message) => reporter.say(message),
  })
  let model: Model | null = null
  const { onProgress, stop } = follow(reporter)
  try {
    const known = findShard(folder, range, of) !== null
    if (!known) {
      const { adapter } = await init({ adapter: options.adapter, threads: options.threads })
      const { seed = 0, aggregation, batch } = options, { checked: { classCount: classes }, found, chosen } = job
      const positions = referencePositions(job.data!, options).slice(range.first, range.last)
      const references = await cachePart(job.data!, positions, reporter)
      model = openModel(job)
      const scoring = { name: options.method, model, found, units: chosen, references, classes, batch, seed }
      const sums = await sumBy(criterion, { ...scoring, aggregation, onProgress })
      writeShard(folder, { ...range, of, ...placeOf(adapter.name) }, sums)
    }
    return { json: { ...range, key, known }, text: `${key}: ${known ? 'was scored before' : 'scored'}` }
  } finally {
    stop()
    lock.release()
    disposeTree(model)
    await close()
  }
}

/**
 * Adds up what all tasks have scored, prunes, and writes what `prune` writes. How that ended stands in a file, for
 * whoever follows. @throws EspalierError where a shard is missing.
 */
export function mergeShards(planned: Planned, submission: string, reporter: Reporter): Promise<Answer> {
  return withOutcome(planned.folder, submission, async () => {
    const { folder } = planned
    const lock = await waitForLock(() => lockFolder(folder), {
      patience: PATIENCE,
      onWait: (message) => reporter.say(message),
    })
    try {
      const answer = await merge(planned, submission, reporter)
      writeOutput(answerFile(folder), `${JSON.stringify({ of: submission, ...answer })}\n`)
      return answer
    } finally {
      lock.release()
    }
  })
}

async function merge(planned: Planned, submission: string, reporter: Reporter): Promise<Answer> {
  const { folder } = planned, { plan, options } = takeUpPrune(planned)
  const ranges = rangesOf(plan), of = settingsDigest(plan)
  const found = ranges.map((range) => findShard(folder, range, of))
  const open = ranges.filter((_, i) => !found[i]).map(shardKey)
  if (open.length) throw new EspalierError(incomplete(folder, 'shards', open, ranges.length))
  const shards = found as Shard[]
  // A job that was queued again may find what it has put in place itself.
  const overwrite = options.overwrite === true || begun(folder, submission)
  const checked = await checkPrune({ ...options, overwrite })
  const job = await preparePrune(checked, reporter)
  compare(plan, folder, options, job)
  const { json, text } = await pruneChecked(checked, job, reporter, {
    sums: sumOfShards(shards),
    command: plan.command,
    notes: notesOf(shards),
  })
  const where = shards.map(({ first, last, node, adapter, versions }) => ({ first, last, node, adapter, versions }))
  return { json: { ...json, shards: where }, text }
}

/** Whether this submission has got so far before; from now on it has. */
function begun(folder: string, submission: string): boolean {
  const file = join(slurmFolder(folder), 'begun')
  if (existsSync(file) && readFileSync(file, 'utf8') === submission) return true
  writeOutput(file, submission)
  return false
}

/** Who scored what, in a sentence. */
function notesOf(shards: readonly Shard[]): string[] {
  const nodes = [...new Set(shards.map(({ node }) => node))],
    adapters = [...new Set(shards.map((each) => each.adapter))]
  const named = (all: readonly string[]) =>
    all.slice(0, 8).map((each) => plain(each, 80)).join(', ') + (all.length > 8 ? ` and ${all.length - 8} more` : '')
  return [
    `scored in ${shards.length} shards on ${named(nodes)}`,
    ...adapters.length > 1
      ? [`shards are of ${adapters.length} adapters, whose last digits differ: ${named(adapters)}`]
      : [],
  ]
}

// `prune --status` and `prune --cancel`: how far the jobs that score for an --out are, and their end.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { plain } from '../base/quote.ts'
import { attemptFiles } from '../sweeps/attempts.ts'
import { findShard, type PrunePlan, type Range, rangesOf, readPrunePlan, settingsDigest,
  shardKey } from '../sweeps/shards.ts'
import type { Answer } from './command.ts'
import { table } from './model.ts'
import { workFolder } from './prune-plan.ts'
import { cancelJobs, jobsState } from './slurm-status.ts'

/** How many shards have a file, by a look at names and sizes: what is damaged is for the merging to say. */
export function shardsDone(folder: string, plan: PrunePlan): number {
  const files = attemptFiles(folder, 'json')
  const isThere = (file: string) => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0
  return rangesOf(plan).filter((range) => files.get(shardKey(range))?.some(isThere)).length
}

/** How far each shard of an `--out` is, and what Slurm does with it. @throws InputError where there is no plan. */
export async function pruneStatus(out: string): Promise<Answer> {
  const folder = workFolder(out), plan = readPrunePlan(folder, out), of = settingsDigest(plan)
  const { jobs, merged, state, taskState, lines } = await jobsState(folder)
  const shards = rangesOf(plan).map((range: Range, i) => {
    const shard = findShard(folder, range, of)
    return { task: i, ...range, scored: shard !== null, ...taskState(i, shard !== null, shard?.node) }
  })
  const open = shards.filter(({ scored }) => !scored), shown = open.slice(0, MOST_ROWS)
  const rows = shown.map(({ first, last, ...each }) => [`${first}-${last - 1}`, each.state, plain(each.where)])
  return {
    json: { plan: plan.digest, jobs, shards, scored: shards.length - open.length, merged, state },
    text: [
      ...rows.length ? [table(['images', 'state', 'where'], rows), ''] : [],
      ...open.length > shown.length ? [`and ${open.length - shown.length} more shards that are not scored yet`] : [],
      `${shards.length - open.length} of ${shards.length} shards are scored; ${plain(state, 400)}`,
      ...lines,
    ].join('\n'),
  }
}

const MOST_ROWS = 40

/** Ends the jobs of an `--out`; what they scored stays. @throws InputError where nothing was submitted. */
export function cancelPrune(out: string): Promise<Answer> {
  const folder = workFolder(out)
  readPrunePlan(folder, out)
  return cancelJobs(folder, 'prune', `what was scored stays in ${plain(resolve(folder))}`)
}

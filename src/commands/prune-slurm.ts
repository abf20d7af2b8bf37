// `prune --on slurm`: the reference images are scored in shards by job arrays; one more job adds the sums up and
// prunes. Ctrl-C ends the following, not the jobs.
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { EspalierError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { lockFolder } from '../files/lock.ts'
import { makeFolder, openOutput } from '../files/output.ts'
import { writePlan } from '../sweeps/plan-file.ts'
import { findPrunePlan, findShard, type PrunePlan, rangesOf, settingsDigest } from '../sweeps/shards.ts'
import { findSlurm } from '../sweeps/slurm.ts'
import { parseSlurmOptions } from '../sweeps/slurm-options.ts'
import type { Answer, Reporter } from './command.ts'
import { follow, runningJobs, submitArrays, submitMerge, type Work } from './on-slurm.ts'
import { checkPrune, preparePrune } from './prune-run.ts'
import { criterionInShards, foreignFolder, planOf, workFolder } from './prune-plan.ts'
import type { PruneOptions } from './prune-setup.ts'
import { shardsDone } from './prune-status.ts'
import { answerFile } from './prune-task.ts'
import { compareSettings } from './result-folder.ts'

/** Submits the shards that are not scored yet and the pruning, and waits. @throws InputError, EspalierError. */
export async function pruneOnSlurm(given: PruneOptions & { args: string[] }, reporter: Reporter): Promise<Answer> {
  const extra = parseSlurmOptions(given.slurm ?? '')
  if (given.pattern !== undefined) criterionInShards(given, null)
  const checked = await checkPrune(given), { options, method, files } = checked
  criterionInShards(options, method)
  await findSlurm()
  const job = await preparePrune(checked, reporter), plan = planOf(options, job), out = workFolder(options.out)
  // Found wanting now rather than after the work.
  for (const { path } of files) openOutput(path).abandon()
  if (existsSync(out) && !statSync(out).isDirectory()) throw foreignFolder(out)
  makeFolder(out)
  const folder = realpathSync(out), tasks = rangesOf(plan)
  const work: Work = {
    command: 'prune',
    folder,
    out: resolve(options.out),
    digest: plan.digest,
    tasks: tasks.length,
    extra,
    parallel: options.parallel,
    adapter: options.adapter,
  }
  const lock = lockFolder(folder)
  let jobs
  try {
    const old = findPrunePlan(folder)
    jobs = await runningJobs(work, () => old !== null && isSame(old, plan))
    if (!jobs) {
      if (old) compareSettings(old.settings, plan.settings, plain(out), `remove ${plain(out)}, or give another --out`)
      writePlan(folder, plan)
      const of = settingsDigest(plan)
      const open = tasks.flatMap((range, i) => findShard(folder, range, of) ? [] : [i])
      jobs = await submitArrays(work, open)
    }
  } finally {
    lock.release()
  }
  if (jobs.merge === undefined) await submitMerge(work, jobs)
  await follow(work, jobs, { what: 'shards', total: tasks.length, done: () => shardsDone(folder, plan) }, reporter)
  return answerOf(folder, jobs.submission)
}

/** Whether the plan of the folder is of the same work: the command may have other words for it. */
const isSame = (old: PrunePlan, plan: PrunePlan): boolean =>
  (['settings', 'images', 'shard', 'options', 'cwd', 'model', 'version'] as const).every((key) =>
    JSON.stringify(old[key]) === JSON.stringify(plan[key])
  )

/** What the last job answered. */
function answerOf(folder: string, submission: string): Answer {
  const file = answerFile(folder)
  const { of, ...answer } = JSON.parse(readFileSync(file, 'utf8')) as Answer & { of: string }
  if (of === submission) return answer
  throw new EspalierError(`${plain(file)}: is of another submission; the network is in place, see --out`)
}

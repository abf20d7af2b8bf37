// What `prune --on slurm` plans: which images are scored by, cut into shards, and all that their sums depend on.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'
import { isPluginPath } from '../files/plugin.ts'
import type { Method } from '../pruning/methods/method.ts'
import type { ImportanceCriterion } from '../pruning/scores/criterion.ts'
import { sealPlan } from '../sweeps/plan-file.ts'
import type { PrunePlan } from '../sweeps/shards.ts'
import { commandLine } from './command-line.ts'
import { type PruneOptions, USUAL_SHARD } from './prune-setup.ts'
import { type Job, referencePositions } from './pruner.ts'
import { dataDigest, type Settings, settingsAsKept } from './result-folder.ts'

type Flags = PruneOptions & { args: string[] }

/** Where plan, jobs and sums lie, beside `--out`. */
export const workFolder = (out: string): string => `${out}.slurm`

/**
 * The criterion whose sums are computed in shards. @throws InputError where a method scores in another way, and for
 * flags that go with one machine.
 */
export function criterionInShards(
  { method: name, set = {}, steps, pattern, dryRun }: PruneOptions,
  method: Method | null,
): ImportanceCriterion {
  const refuse = (what: string) => new InputError(`prune --on slurm: ${what}; leave out --on slurm`)
  if (pattern !== undefined) throw refuse('--pattern scores single weights, which is not spread over machines')
  if (dryRun) throw refuse('--dry-run computes nothing that could be spread')
  if (steps > 1) {
    throw refuse(`--steps ${steps} scores anew before each step, by the network that the step before has left`)
  }
  const criterion = method?.criterionWith?.({ ...defaultsOf(method), ...set }) ?? method?.criterion
  if (!criterion) throw refuse(`method ${quoted(name)} learns what to cut in one run and has no scores to be spread`)
  if (!criterion.images) throw refuse(`method ${quoted(name)} reads no images, so there is nothing to spread`)
  if (!criterion.parts) {
    throw refuse(`method ${quoted(name)} has no parts (sums over images that its scores follow from)`)
  }
  return criterion
}

const defaultsOf = ({ options = {} }: Method): Record<string, string> =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, { default: value }]) => value === undefined ? [] : [[name, value]]),
  )

/** What sums depend on; what is cut and trained afterwards is not among it. */
export function scoringSettings(options: Flags, { checked, data, chosen }: Job): Settings {
  const { method, set = {}, references = null, perClass = null, aggregation, residual, batch, seed = 0 } = options
  const { adapter = null, arch = null, shard = USUAL_SHARD } = options
  return settingsAsKept({
    source: checked.digest,
    data: options.data,
    dataDigest: dataDigest(data),
    preprocessing: data!.preprocessing,
    method,
    methodSource: isPluginPath(method) ? createHash('sha256').update(readFileSync(method)).digest('hex') : null,
    set,
    units: chosen.map(({ name }) => name).join(' '),
    references,
    perClass,
    aggregation,
    residual,
    batch,
    seed,
    shard,
    adapter,
    arch,
  })
}

/** The plan of these flags. */
export function planOf(options: Flags, job: Job): PrunePlan {
  const { args, json: _, quiet: _quiet, on: _on, slurm: _slurm, parallel: _parallel, ...flags } = options
  return sealPlan({
    kind: 'prune' as const,
    command: commandLine(),
    cwd: process.cwd(),
    model: args[0],
    options: flags as unknown as Record<string, unknown>,
    settings: scoringSettings(options, job),
    images: referencePositions(job.data!, options).length,
    shard: options.shard ?? USUAL_SHARD,
  })
}

/** @throws InputError for the folder of work where something else lies. */
export const foreignFolder = (folder: string): InputError =>
  new InputError(`${plain(folder)}: expected a folder of prune --on slurm, found something else; give another --out`)

// Scores on many machines: the reference images are cut into shards of a fixed number of images, whoever computes them.
// Each shard's sums are a file with a digest, one for each attempt; put together they are added in the order of shards.
import { readFileSync } from 'node:fs'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import type { ScoreSums } from '../attribution/relevance.ts'
import { guard } from '../files/guard.ts'
import { writeOutput } from '../files/output.ts'
import { addSums } from '../pruning/steps.ts'
import { attemptFiles, newAttempt } from './attempts.ts'
import { digestOf, findPlanFile, isObject, planFile, type PlanFile } from './plan-file.ts'
import { isCount, type Place } from './point.ts'

/** The plan of `prune --on slurm`. */
export interface PrunePlan extends PlanFile {
  kind: 'prune'
  /** How many images are scored by, and how many of them a shard has; the last one may have fewer. */
  images: number
  shard: number
}

/** Images of the references from one to another, the last not included. */
export interface Range {
  first: number
  last: number
}

/** What a shard came to, and where; plain data. */
export interface Shard extends Range, Place {
  format: typeof FORMAT
  /** Digest of the settings that it depends on. */
  of: string
  sums: Record<string, number[]>
  /** SHA-256 of everything else. */
  digest: string
}

const FORMAT = 1

/** The plan of a folder; null where there is none. @throws InputError for one that is damaged or was edited. */
export const findPrunePlan = (folder: string): PrunePlan | null =>
  findPlanFile<PrunePlan>(
    folder,
    'prune',
    ({ images, shard }) => isCount(images) && isCount(shard) && images! > 0 && shard! > 0,
  )

/** The plan of a folder beside an `--out`. @throws InputError, also where there is none. */
export function readPrunePlan(folder: string, out: string): PrunePlan {
  const plan = findPrunePlan(folder)
  if (plan) return plan
  throw new InputError(
    `${plain(out) || "''"}: expected the --out of a prune that was started with --on slurm, found no `
      + `${plain(planFile(folder))}; give its --out`,
  )
}

/** The shards of a plan in their order. */
export const rangesOf = ({ images, shard }: Pick<PrunePlan, 'images' | 'shard'>): Range[] =>
  Array.from({ length: Math.ceil(images / shard) }, (_, i) => ({
    first: i * shard,
    last: Math.min(images, (i + 1) * shard),
  }))

/** A name for the files of a shard. */
export const shardKey = ({ first, last }: Range): string => `images-${first}-${last - 1}`

/** What the settings of a plan are known by. */
export const settingsDigest = ({ settings }: Pick<PlanFile, 'settings'>): string => digestOf({ settings })

/** Puts the sums of a shard into a file of its own, whole or not at all. */
export function writeShard(folder: string, shard: Omit<Shard, 'format' | 'sums' | 'digest'>, { sums }: ScoreSums) {
  const content = {
    format: FORMAT,
    ...shard,
    sums: Object.fromEntries([...sums].map(([name, values]) => [name, [...values]])),
  }
  const file = newAttempt(folder, shardKey(shard), 'json')
  writeOutput(file, `${JSON.stringify({ ...content, digest: digestOf(content) })}\n`)
}

/**
 * The sums of one shard, from whichever attempts ended; null where none has. Attempts that say the same count once.
 * @throws InputError for a file that is damaged, of other settings or of other images, and where two attempts differ,
 * naming both: on the same adapter in anything, on others in more than rounding.
 */
export function findShard(folder: string, range: Range, of: string): Shard | null {
  const files = attemptFiles(folder, 'json').get(shardKey(range)) ?? []
  let first: { shard: Shard, file: string } | null = null
  for (const file of files) {
    const shard = readShard(file, range, of)
    if (!shard) continue
    const what = first && difference(first.shard, shard)
    if (what) {
      throw new InputError(
        `${plain(file)}: has ${what}; ${plain(first!.file)} differs, so a file was damaged or a machine computes `
          + 'wrongly: remove the one that is wrong',
      )
    }
    first ??= { shard, file }
  }
  return first?.shard ?? null
}

/** Null for the file of an attempt that has not ended. @throws InputError. */
function readShard(file: string, range: Range, of: string): Shard | null {
  const text = guard(file, () => readFileSync(file, 'utf8'), true), name = plain(file)
  if (text === '') return null
  const damaged = () =>
    new InputError(
      `${name}: expected the sums of images ${range.first} to ${
        range.last - 1
      }, found something else; it was edited or `
        + 'damaged, remove it and give the same command again',
    )
  let shard: Shard
  try {
    shard = JSON.parse(text) as Shard
  } catch {
    throw damaged()
  }
  if (!isObject(shard) || shard.format !== FORMAT || digestOf(shard) !== shard.digest || !isWhole(shard)) {
    throw damaged()
  }
  if (shard.of !== of) {
    throw new InputError(
      `${name}: holds sums of other settings or another network; remove its folder, or give another --out`,
    )
  }
  if (shard.first !== range.first || shard.last !== range.last) throw damaged()
  return shard
}

function isWhole({ first, last, node, adapter, versions, sums }: Partial<Shard>): boolean {
  return isCount(first) && isCount(last) && typeof node === 'string' && typeof adapter === 'string'
    && isObject(versions) && isObject(sums)
    && Object.values(sums!).every((values) => Array.isArray(values) && values.every((value) => Number.isFinite(value)))
}

/** How far sums of different adapters may be apart, of the largest of a place: they add up in other orders. */
const ROUNDING = 1e-2

/** What two attempts at a shard differ in; null for nothing that matters. */
function difference(a: Shard, b: Shard): string | null {
  const alike = a.adapter === b.adapter && JSON.stringify(a.versions) === JSON.stringify(b.versions)
  for (const name of new Set([...Object.keys(a.sums), ...Object.keys(b.sums)])) {
    const mine = a.sums[name] as number[] | undefined, theirs = b.sums[name] as number[] | undefined
    if (mine?.length !== theirs?.length) return `${theirs?.length ?? 'no'} sums of ${plain(name)}`
    const most = mine!.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
    const at = mine!.findIndex((value, i) =>
      alike ? value !== theirs![i] : Math.abs(value - theirs![i]) > ROUNDING * most
    )
    if (at >= 0) return `${theirs![at]} and not ${mine![at]} for ${plain(name)}, element ${at}`
  }
  return null
}

/** The sums of shards, added in the order given. */
export const sumOfShards = (shards: readonly Shard[]): ScoreSums =>
  addSums(shards.map(({ first, last, sums }) => ({
    images: last - first,
    sums: new Map(Object.entries(sums).map(([name, values]) => [name, Float64Array.from(values)])),
  })))

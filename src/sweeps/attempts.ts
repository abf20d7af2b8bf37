// Journals of attempts: each process that works at a curve writes a file of its own, so that two that do so at once (a
// machine that was given up and still runs) never write to the same one. Put together, every point counts once.
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { guard } from '../files/guard.ts'
import { makeFolder } from '../files/output.ts'
import { type Point, sameCurve } from './point.ts'

/** A point and the file it stands in. */
export interface Found {
  point: Point
  file: string
}

const FOLDER = 'attempts'

/** The folder of the journals. */
export const attemptsFolder = (folder: string): string => join(folder, FOLDER)

/**
 * The files there are, journals unless another ending is given, in the order of their attempts, by the key of their
 * task.
 */
export function attemptFiles(folder: string, ending: 'jsonl' | 'json' = 'jsonl'): Map<string, string[]> {
  const at = attemptsFolder(folder), found = new Map<string, { file: string, number: number }[]>()
  const names = existsSync(at) ? guard(at, () => readdirSync(at)) : []
  for (const name of names) {
    const [, key, number, end] = /^(.+)\.(\d+)\.(jsonl?)$/.exec(name) ?? []
    if (key === undefined || end !== ending) continue
    const list = found.get(key) ?? []
    list.push({ file: join(at, name), number: Number(number) })
    found.set(key, list)
  }
  return new Map([...found].map(([key, list]) => [
    key,
    list.sort((a, b) => a.number - b.number).map(({ file }) => file),
  ]))
}

/** Makes an empty file for one more attempt at a task; nobody else gets the same. */
export function newAttempt(folder: string, key: string, ending: 'jsonl' | 'json' = 'jsonl'): string {
  const at = attemptsFolder(folder)
  makeFolder(at)
  for (let number = attemptFiles(folder, ending).get(key)?.length ?? 0;; number++) {
    const file = join(at, `${key}.${number}.${ending}`)
    const made = guard(file, () => {
      try {
        closeSync(openSync(file, 'wx'))
        return true
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
        throw error
      }
    }, true)
    if (made) return file
  }
}

/**
 * Points of one curve from several journals, each rate once: the first that was measured. @throws InputError where two
 * of a rate differ in more than their times, naming both files.
 */
export function mergePoints(found: readonly Found[]): Point[] {
  const kept: Found[] = []
  for (const each of found) {
    const { point, file } = each
    const first = kept.find((other) => other.point.rate === point.rate && sameCurve(other.point, point))
    if (!first) {
      kept.push(each)
      continue
    }
    const what = difference(first.point, point)
    if (what) {
      throw new InputError(
        `${plain(file)}: ${plain(point.method)} with seed ${point.seed} at rate ${point.rate} has ${what}; `
          + `${plain(first.file)} differs, so a file was damaged or a machine computes wrongly: `
          + 'remove the one that is wrong',
      )
    }
  }
  return kept.map(({ point }) => point)
}

/**
 * What two measurements of one point differ in, as `top1 0.5 and not 0.4`; null where only times do. Only the number
 * of images must be equal everywhere: the rest follows from sums of floats, which another adapter, or another version,
 * adds up in another order.
 */
function difference(a: Point, b: Point): string | null {
  const alike = a.adapter === b.adapter && JSON.stringify(a.versions) === JSON.stringify(b.versions)
  const values = ({ how, kept, after: { images, params, macs, top1, top5 } }: Point): Record<string, unknown> => ({
    images,
    ...alike && { how, params, macs, top1, top5, kept: kept.join(' ') },
  })
  const mine = values(a), theirs = values(b)
  const key = Object.keys(mine).find((each) => mine[each] !== theirs[each])
  return key === undefined ? null : `${key} ${String(theirs[key])} and not ${String(mine[key])}`
}

// A folder of results that a run goes on in after an interruption. What a result depends on, settings and the content
// of model and images, stands beside it, so that nothing of another run is taken for this one's.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain, shown } from '../base/quote.ts'
import type { Dataset } from '../data/datasets.ts'
import type { NamedFile } from '../files/claim.ts'
import { digestOfFiles } from '../files/digest.ts'
import { nodeFiles } from '../files/files.ts'
import { guard } from '../files/guard.ts'
import { type Journal, openJournal, readJournal } from '../files/journal.ts'
import { type Lock, lockFolder } from '../files/lock.ts'
import { makeFolder, writeOutput } from '../files/output.ts'
import { encodeSafetensors, parseSafetensors } from '../files/safetensors.ts'
import { claimIn, namedFolder } from './claims.ts'

/** What must not change between two runs in one folder; plain data. */
export type Settings = Readonly<Record<string, unknown>>

/** One line of a journal says of which settings it is. */
type Line<T> = T & { of: string }

/** How a folder is opened. */
export interface FolderOptions {
  folder: string
  /** Name of the journal, `points.jsonl`; its settings stand in `points.settings.json`. */
  journal: string
  /** Other files that the command writes there. */
  writes: readonly string[]
  /** What the command reads, which none of these may be. */
  reads: readonly NamedFile[]
  settings: Settings
  isEntry(value: unknown): boolean
}

/** An open folder, locked until it is closed. */
export interface ResultFolder<T> {
  readonly path: string
  readonly settings: Settings
  readonly journal: Pick<Journal<T>, 'entries' | 'append'>
  close(): void
}

const FORMAT = 2

/**
 * Opens a folder of results, or makes one. @throws InputError where it belongs to other settings, saying which; where
 * another run works in it; where files are in the way that no run of ours has made; where what lies there is damaged.
 */
export async function openResults<T>(options: FolderOptions): Promise<ResultFolder<T>> {
  const { folder, journal: name, writes, reads, isEntry } = options
  namedFolder('--out', folder)
  const settings = settingsAsKept(options.settings)
  const settingsName = `${name.replace(/\.\w+$/, '')}.settings.json`, settingsFile = join(folder, settingsName)
  claimIn(folder, [name, settingsName, ...writes], reads, true)
  makeFolder(folder)
  const lock = lockFolder(folder)
  try {
    const own = await readSettings(settingsFile)
    claimIn(folder, [name, ...writes], reads, own !== null)
    if (own) compareSettings(own, settings, `--out ${plain(folder)}`)
    else writeOutput(settingsFile, `${JSON.stringify(settings, null, 1)}\n`)
    return open(folder, name, settings, lock, isEntry)
  } catch (error) {
    lock.release()
    throw error
  }
}

function open<T>(
  path: string,
  name: string,
  settings: Settings,
  lock: Lock,
  isEntry: (value: unknown) => boolean,
): ResultFolder<T> {
  const { close, ...journal } = openSettled<T>(join(path, name), settings, isEntry)
  return {
    path,
    settings,
    journal,
    close() {
      close()
      lock.release()
    },
  }
}

/** Settings as they stand in a file, to be compared with those of one. */
export const settingsAsKept = (settings: Settings): Settings =>
  JSON.parse(JSON.stringify({ format: FORMAT, ...settings })) as Settings

const digestOf = (settings: Settings): string =>
  createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16)

/** Refuses lines that are no entries, and those of other settings. */
function lineCheck(file: string, settings: Settings, isEntry: (value: unknown) => boolean) {
  const of = digestOf(settings)
  return (value: unknown): boolean => {
    if (!isEntry(value)) return false
    if ((value as Line<unknown>).of === of) return true
    throw new InputError(`${plain(file)}: holds results of other settings or another network; give another folder`)
  }
}

const withoutOf = <T>({ of: _, ...entry }: Line<T>): T => entry as T

/** A journal whose lines say of which settings (`settingsAsKept`) they are. @throws InputError for others. */
export function openSettled<T>(
  file: string,
  settings: Settings,
  isEntry: (value: unknown) => boolean,
): Pick<Journal<T>, 'entries' | 'append' | 'close'> {
  const of = digestOf(settings)
  const journal = openJournal<Line<T>>(file, lineCheck(file, settings, isEntry))
  const entries = journal.entries.map((line) => withoutOf(line))
  return {
    entries,
    append(entry) {
      journal.append({ ...entry, of })
      entries.push(entry)
    },
    close: () => journal.close(),
  }
}

/** What stands in such a journal, which another process may be writing. @throws InputError as `openSettled`. */
export const readSettled = <T>(file: string, settings: Settings, isEntry: (value: unknown) => boolean): T[] =>
  readJournal<Line<T>>(file, lineCheck(file, settings, isEntry)).map((line) => withoutOf(line))

/** Settings of an earlier run; null where there is none. @throws InputError for anything else of that name. */
async function readSettings(path: string): Promise<Settings | null> {
  if (!await nodeFiles.exists(path)) return null
  const text = new TextDecoder().decode(await nodeFiles.read(path))
  return checked(text, plain(path))
}

function checked(text: string | undefined, where: string): Settings {
  let value: unknown
  try {
    value = JSON.parse(text ?? 'null')
  } catch {
    value = text
  }
  const format = typeof value === 'object' && value !== null ? (value as Settings).format : undefined
  if (format === FORMAT) return value as Settings
  const found = Number.isInteger(format) ? `format ${String(format)}, expected ${FORMAT}` : shown(value)
  throw new InputError(
    `${where}: expected the settings of a run, found ${found}; it is damaged or of another version, `
      + 'give another folder',
  )
}

/** @throws InputError naming the first setting that differs, and the cure. */
export function compareSettings(old: Settings, now: Settings, where: string, cure = 'give another folder'): void {
  const other = [...new Set([...Object.keys(now), ...Object.keys(old)])].find((key) =>
    JSON.stringify(old[key]) !== JSON.stringify(now[key])
  )
  if (other === undefined) return
  throw new InputError(
    `${where}: holds results with ${plain(other, 40)} ${shown(old[other])}, this run has ${shown(now[other])}; ${cure}`,
  )
}

/** A digest of a data set: its labels, where its slice begins, and the content of its files. */
export function dataDigest(data: Dataset | null): string | null {
  if (!data) return null
  const { labels, files = [], first = 0 } = data
  const hash = createHash('sha256').update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength))
  if (first > 0) hash.update(`from ${first}`) // images of one class are told apart by nothing else
  return hash.update(guard(data.name, () => digestOfFiles(files))).digest('hex')
}

/** Vectors by name, kept in a folder of results with what they depend on. */
export class StoredVectors {
  private readonly file: string
  private readonly about: Settings

  /** `more` is what these depend on beside the folder's settings, e.g. method and seed. */
  constructor({ path, settings }: Pick<ResultFolder<unknown>, 'path' | 'settings'>, name: string, more: Settings) {
    this.file = join(path, 'scores', `${name.replace(/[^\w.-]+/g, '_')}.safetensors`)
    this.about = { ...settings, ...more }
  }

  /**
   * What is kept, or null. @throws InputError where the file is not of these settings, or not of these lengths.
   */
  async read(lengths: ReadonlyMap<string, number>): Promise<Map<string, Float32Array> | null> {
    if (!await nodeFiles.exists(this.file)) return null
    const where = plain(this.file)
    const { metadata, tensors } = parseSafetensors(await nodeFiles.read(this.file), this.file)
    if (metadata['espalier-scores'] === undefined) {
      throw new InputError(
        `${where}: does not say of which network and images it is; remove it, or give another folder`,
      )
    }
    compareSettings(checked(metadata['espalier-scores'], where), this.about, where)
    const found = new Map([...tensors].map(([name, { data }]) => [name, data]))
    for (const [name, length] of lengths) {
      const data = found.get(name)
      if (!(data instanceof Float32Array) || data.length !== length) {
        throw new InputError(
          `${where}: expected ${length} scores of ${plain(name)}, found ${data?.length ?? 0}; remove it`,
        )
      }
    }
    return new Map([...lengths.keys()].map((name) => [name, found.get(name) as Float32Array]))
  }

  write(vectors: ReadonlyMap<string, Float32Array>): void {
    makeFolder(join(this.file, '..'))
    const tensors = new Map([...vectors].map(([name, data]) => [name, { shape: [data.length], data }]))
    writeOutput(this.file, encodeSafetensors(tensors, { metadata: { 'espalier-scores': JSON.stringify(this.about) } }))
  }
}

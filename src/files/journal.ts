// A file that grows by one line of JSON at a time. A line is on the disk when `append` returns; what a crash cut short
// is left out when the file is read again, and the next line starts on a line of its own. Node only.
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { InputError } from '../base/errors.ts'
import { plain, shown } from '../base/quote.ts'
import { guard } from './guard.ts'

/** An open journal. */
export interface Journal<T> {
  /** Everything written so far, by this run and earlier ones. */
  readonly entries: readonly T[]
  append(entry: T): void
  close(): void
}

/**
 * Opens a journal, or makes one; `isEntry` says what a line must be. @throws InputError naming the first line that is
 * complete and still no JSON, or not such an entry; or where there can be no file of that name.
 */
export function openJournal<T>(path: string, isEntry: (value: unknown) => boolean = () => true): Journal<T> {
  const { complete, entries } = read<T>(path, isEntry)
  const descriptor = guard(path, () => openSync(path, 'a'), true)
  ftruncateSync(descriptor, Buffer.byteLength(complete))
  return {
    entries,
    append(entry) {
      const line = Buffer.from(`${JSON.stringify(entry)}\n`)
      guard(path, () => {
        for (let done = 0; done < line.length;) done += writeSync(descriptor, line, done)
        fsyncSync(descriptor)
      })
      entries.push(entry)
    },
    close() {
      closeSync(descriptor)
    },
  }
}

/**
 * What another process has written so far, who may still write: the file stays as it is. None where there is no file.
 * @throws InputError as `openJournal`.
 */
export const readJournal = <T>(path: string, isEntry?: (value: unknown) => boolean): T[] =>
  read<T>(path, isEntry).entries

function read<T>(path: string, isEntry: (value: unknown) => boolean = () => true): { complete: string, entries: T[] } {
  const text = guard(path, () => existsSync(path) ? readFileSync(path, 'utf8') : '', true)
  const complete = text.slice(0, text.lastIndexOf('\n') + 1)
  const entries = complete.split('\n').slice(0, -1).map((line, i) =>
    parse<T>(line, `${plain(path)}: line ${i + 1}`, isEntry)
  )
  return { complete, entries }
}

function parse<T>(line: string, where: string, isEntry: (value: unknown) => boolean): T {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new InputError(`${where} is not valid JSON; the file was edited or damaged, remove it to start anew`, {
      cause: error,
    })
  }
  if (isEntry(value)) return value as T
  throw new InputError(
    `${where} is ${shown(value)}, no result; the file was edited or damaged, remove it to start anew`,
  )
}

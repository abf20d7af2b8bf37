// A file that grows by one line of JSON at a time. A line is on the disk when `append` returns; what a crash cut short
// is left out when the file is read again, and the next line starts on a line of its own. Node only.
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { InputError } from '../base/errors.ts'

/** An open journal. */
export interface Journal<T> {
  /** Everything written so far, by this run and earlier ones. */
  readonly entries: readonly T[]
  append(entry: T): void
  close(): void
}

/** Opens a journal, or makes one. @throws InputError naming the first line that is complete and still no JSON. */
export function openJournal<T>(path: string): Journal<T> {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const complete = text.slice(0, text.lastIndexOf('\n') + 1)
  const entries = complete.split('\n').slice(0, -1).map((line, i) => parse<T>(line, `${path}: line ${i + 1}`))
  const descriptor = openSync(path, 'a')
  ftruncateSync(descriptor, Buffer.byteLength(complete))
  return {
    entries,
    append(entry) {
      const line = Buffer.from(`${JSON.stringify(entry)}\n`)
      for (let done = 0; done < line.length;) done += writeSync(descriptor, line, done)
      fsyncSync(descriptor)
      entries.push(entry)
    },
    close() {
      closeSync(descriptor)
    },
  }
}

function parse<T>(line: string, where: string): T {
  try {
    return JSON.parse(line) as T
  } catch (error) {
    throw new InputError(`${where} is not valid JSON; the file was edited or damaged, remove it to start anew`, {
      cause: error,
    })
  }
}

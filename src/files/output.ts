// Output files: written beside their name and renamed into place, so that a crash, a full disk or Ctrl-C leaves the old
// file or none, never half of one. Node only.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, realpathSync, renameSync, rmSync, statSync,
  writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { EspalierError, InputError } from '../base/errors.ts'

/** A file being written. Nothing is at its final name until `commit`. */
export interface Output {
  readonly path: string
  /** Where it lies until then; what was written can be read back from there. */
  readonly partial: string
  write(data: string | Uint8Array): void
  /** Puts the file in place, on the disk. */
  commit(): void
  /** Removes what was written; harmless after `commit`. */
  abandon(): void
}

const unfinished = new Set<Output>()
let counter = 0

/**
 * Opens `path` for writing. Throws InputError where it cannot be written at all (no such folder, a folder, no
 * permission), EspalierError where writing fails later (a full disk).
 */
export function openOutput(path: string): Output {
  const target = existsSync(path) ? realpathSync(path) : path // a link stays a link
  const old = existsSync(target) ? statSync(target) : null
  if (old?.isDirectory()) throw new InputError(`${path}: expected a file to write, found a folder; add a file name`)
  // A pipe or a device has no half-written state, and must not be replaced by a file.
  const direct = old !== null && !old.isFile()
  const partial = direct ? target : join(dirname(target), `.${basename(target)}.${process.pid}.${counter++}.partial`)
  const descriptor = guard(
    path,
    () => openSync(partial, direct ? 'w' : 'wx', old?.isFile() ? old.mode & 0o777 : 0o666),
    true,
  )
  let open = true
  const close = () => {
    if (open) closeSync(descriptor)
    open = false
    unfinished.delete(output)
    if (!unfinished.size) unwatch()
  }
  const output: Output = {
    path,
    partial,
    write: (data) => guard(path, () => writeAll(descriptor, typeof data === 'string' ? Buffer.from(data) : data)),
    commit() {
      guard(path, () => {
        if (!direct) fsyncSync(descriptor)
        close()
        if (!direct) renameSync(partial, target)
      })
    },
    abandon() {
      if (!open) return
      close()
      if (!direct) rmSync(partial, { force: true })
    },
  }
  if (!unfinished.size) watch()
  unfinished.add(output)
  return output
}

/** Writes a whole file at once. Errors as `openOutput`; the old file, if any, stays where it fails. */
export function writeOutput(path: string, data: string | Uint8Array): void {
  const output = openOutput(path)
  try {
    output.write(data)
    output.commit()
  } finally {
    output.abandon()
  }
}

/** Makes a folder with those above it; one that is there is fine. @throws InputError where there cannot be one. */
export function makeFolder(path: string): void {
  guard(path, () => mkdirSync(path, { recursive: true }), true)
}

function writeAll(descriptor: number, data: Uint8Array): void {
  for (let done = 0; done < data.length;) done += writeSync(descriptor, data, done, data.length - done)
}

function guard<T>(path: string, action: () => T, opening = false): T {
  try {
    return action()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (!code) throw error
    const [found, cure] = reasons[code] ?? [(error as Error).message, 'look at the disk']
    const message = `${path}: cannot write here, ${found}; ${cure}`
    throw opening && code !== 'ENOSPC'
      ? new InputError(message, { cause: error })
      : new EspalierError(message, { cause: error })
  }
}

const reasons: Record<string, [string, string]> = {
  ENOENT: ['there is no such folder', 'make the folder first'],
  EEXIST: ['a file of that name is there', 'choose another name'],
  ENOTDIR: ['a part of the path is a file', 'check the path'],
  EACCES: ['permission denied', 'choose a folder of your own'],
  EPERM: ['permission denied', 'choose a folder of your own'],
  EROFS: ['the file system is read-only', 'choose another folder'],
  ENAMETOOLONG: ['the name is too long', 'choose a shorter one'],
  ENOSPC: ['the disk is full', 'free some space'],
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function abandonAll(): void {
  for (const output of [...unfinished]) output.abandon()
}

// Handlers live only while a file is open, so a program that uses the library keeps its own Ctrl-C.
function interrupted(signal: NodeJS.Signals): void {
  abandonAll()
  // With no other handler left the process ends by the signal itself, so a shell loop stops as well.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
}

function watch(): void {
  for (const signal of signals) process.on(signal, interrupted)
  process.on('exit', abandonAll)
}

function unwatch(): void {
  for (const signal of signals) process.off(signal, interrupted)
  process.off('exit', abandonAll)
}

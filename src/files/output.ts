// Output files: written beside their name and renamed into place, so that a crash, a full disk or Ctrl-C leaves the old
// file or none, never half of one. Node only.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, realpathSync, renameSync, rmSync, statSync,
  writeSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { atEnd } from './at-end.ts'
import { guard } from './guard.ts'
import { isAlive, thisOwner } from './owner.ts'

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

let counter = 0

/**
 * Opens `path` for writing. Throws InputError where it cannot be written at all (no such folder, a folder, no
 * permission), EspalierError where writing fails later (a full disk).
 */
export function openOutput(path: string): Output {
  if (path === '') {
    throw new InputError("expected the name of a file to write, found ''; give one, e.g. out.safetensors")
  }
  const target = existsSync(path) ? realpathSync(path) : path // a link stays a link
  const old = existsSync(target) ? statSync(target) : null
  if (old?.isDirectory()) {
    throw new InputError(`${plain(path)}: expected a file to write, found a folder; add a file name`)
  }
  // A pipe or a device has no half-written state, and must not be replaced by a file.
  const direct = old !== null && !old.isFile()
  if (!direct) sweepPartials(target)
  const partial = direct ? target : partialOf(target)
  const descriptor = guard(
    path,
    () => openSync(partial, direct ? 'w' : 'wx', old?.isFile() ? old.mode & 0o777 : 0o666),
    true,
  )
  let open = true
  const close = () => {
    if (open) closeSync(descriptor)
    open = false
    forget()
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
  const forget = atEnd(() => output.abandon())
  return output
}

/** `.net.safetensors.1f0c9a77de-4711-83220-0.partial`: who writes it stands in the name. */
function partialOf(target: string): string {
  const { place, pid, start } = thisOwner()
  return join(dirname(target), `.${stemOf(target)}.${place}-${pid}-${start || 0}-${counter++}.partial`)
}

/** The file's name, short enough to leave room for the owner. */
const stemOf = (target: string) => Buffer.from(basename(target)).subarray(0, 180).toString().replace(/\ufffd+$/, '')

const DAY = 24 * 3600 * 1000

/** Removes what earlier runs left half-written beside `target`: of processes that are gone, or untouched for a day. */
function sweepPartials(target: string): void {
  const folder = dirname(target), start = `.${stemOf(target)}.`
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    return // opening the file says why
  }
  for (const name of names) {
    if (!name.startsWith(start)) continue
    const found = /^(\w+)-(\d+)-(\d+)-\d+\.partial$/.exec(name.slice(start.length))
    if (!found) continue
    const [, place, pid, begun] = found
    const alive = isAlive({ place, pid: Number(pid), start: begun === '0' ? '' : begun })
    try {
      if (alive === false || (alive === null && Date.now() - statSync(join(folder, name)).mtimeMs > DAY)) {
        rmSync(join(folder, name), { force: true })
      }
    } catch {
      // Someone else removed it, or may not; it is in nobody's way.
    }
  }
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
  guard(path, () => {
    // Folder by folder: Node's own `recursive` never returns where a file system refuses with ENOENT, as /proc does.
    const missing: string[] = []
    for (let at = resolve(path); !existsSync(at) && dirname(at) !== at; at = dirname(at)) missing.unshift(at)
    for (const each of missing) if (!existsSync(each)) mkdirSync(each)
    if (!statSync(path).isDirectory()) mkdirSync(path) // says what stands there
  }, true)
}

function writeAll(descriptor: number, data: Uint8Array): void {
  for (let done = 0; done < data.length;) done += writeSync(descriptor, data, done, data.length - done)
}

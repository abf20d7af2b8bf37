// One run at a time in a folder of results: two would mix what they write. The lock is a file that says who holds it;
// its age is renewed while the holder lives, so that a lock of a machine that is gone is told from one that works.
import { createHash, randomBytes } from 'node:crypto'
import { linkSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { atEnd } from './at-end.ts'
import { guard } from './guard.ts'
import { isAlive, type Owner, thisOwner } from './owner.ts'

/** A held lock. */
export interface Lock {
  release(): void
}

interface Holder extends Owner {
  host: string
  since: string
  command: string
}

/** Somebody else holds the lock. */
export class LockedError extends InputError {}

const NAME = '.espalier.lock', RENEWED = 20_000, STALE = 5 * 60_000

/**
 * Takes the lock of a folder. One whose holder no longer runs here, or that was not renewed for five minutes, is taken
 * over. @throws InputError that says who holds it.
 */
export function lockFolder(folder: string, command = process.argv.slice(2).join(' ')): Lock {
  return lock(
    join(folder, NAME),
    command,
    (who) =>
      `${plain(folder)}: ${who} works in this folder; wait for it to end, or give another folder `
      + `(if it is gone, remove ${NAME} there)`,
  )
}

/**
 * Takes the lock of one file that is about to be written, as `lockFolder` does. @throws InputError saying who has it.
 */
export function lockFile(path: string, command = process.argv.slice(2).join(' ')): Lock {
  const name = join(dirname(path), `.${basename(path)}.lock`)
  return lock(
    name,
    command,
    (who) => `${plain(path)}: ${who} writes this file; wait for it to end (if it is gone, remove ${plain(name)})`,
  )
}

function lock(path: string, command: string, refusal: (who: string) => string): Lock {
  for (let attempt = 0; attempt < 3; attempt++) {
    const holder = read(path)
    if (holder === 'gone') {
      if (create(path, command)) return keep(path)
    } else if (!isStale(path, holder)) throw new LockedError(refusal(nameOf(holder)))
    else takeAway(path, command)
  }
  throw new LockedError(refusal('another run, which takes it over just now,'))
}

/**
 * Removes a stale lock. One process at a time, under a lock of its own, looks again and removes: who comes second must
 * not remove what the first has put in its place.
 */
function takeAway(path: string, command: string): void {
  const turn = join(dirname(path), `.lock-${createHash('sha256').update(basename(path)).digest('hex').slice(0, 16)}`)
  if (!create(turn, command)) {
    const other = read(turn)
    if (other !== 'gone' && isStale(turn, other)) rmSync(turn, { force: true })
    return
  }
  try {
    const holder = read(path)
    if (holder !== 'gone' && isStale(path, holder)) rmSync(path, { force: true })
  } finally {
    rmSync(turn, { force: true })
  }
}

/**
 * Calls `take`, which takes a lock, until it succeeds: while another process holds it, or has left it behind on a
 * machine that is lost. `onWait` is told once who holds it. @throws LockedError after `patience` milliseconds, by
 * default never; whatever else `take` throws.
 */
export async function waitForLock<T>(
  take: () => T | Promise<T>,
  { patience = Infinity, onWait = () => {} }: { patience?: number, onWait?: (message: string) => void } = {},
): Promise<T> {
  const start = Date.now()
  for (let pause = 100;; pause = Math.min(5000, pause * 2)) {
    try {
      return await take()
    } catch (error) {
      if (!(error instanceof LockedError) || Date.now() - start > patience) throw error
      if (pause === 100) onWait(error.message)
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/** False where there is a lock already. */
function create(path: string, command: string): boolean {
  const holder: Holder = { ...thisOwner(), host: hostname(), since: new Date().toISOString(), command }
  const text = `${JSON.stringify(holder)}\n`
  const own = join(dirname(path), `.lock-${process.pid}-${randomBytes(4).toString('hex')}`)
  // Written aside and linked when it is whole: a lock that says nothing would hold everybody up until it is old.
  guard(path, () => writeFileSync(own, text, { flag: 'wx' }), true)
  try {
    return made(path, () => linkSync(own, path), () => writeFileSync(path, text, { flag: 'wx' }))
  } finally {
    rmSync(own, { force: true })
  }
}

/** Whether the file could be made; in the second way where this file system has no links. */
function made(path: string, link: () => void, write?: () => void): boolean {
  try {
    link()
    return true
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (write && ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK'].includes(code)) {
      return made(path, write)
    }
    return guard(path, () => {
      throw error
    }, true)
  }
}

function keep(path: string): Lock {
  const timer = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date())
    } catch {
      // The folder went away under the run; what it writes next says so.
    }
  }, RENEWED)
  timer.unref()
  let held = true
  const remove = () => {
    clearInterval(timer)
    if (held) rmSync(path, { force: true })
    held = false
  }
  const forget = atEnd(remove)
  return {
    release() {
      forget()
      remove()
    },
  }
}

/** Null for a lock that says nothing readable: a crash between making and writing it, or damage. */
function read(path: string): Partial<Holder> | null | 'gone' {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return 'gone'
  }
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

function isStale(path: string, holder: Partial<Holder> | null): boolean {
  const { place, pid, start } = holder ?? {}
  if (typeof place === 'string' && Number.isInteger(pid) && typeof start === 'string') {
    const alive = isAlive({ place, pid: pid!, start })
    if (alive !== null) return !alive
  }
  try {
    return Date.now() - statSync(path).mtimeMs > STALE
  } catch {
    return true
  }
}

function nameOf(holder: Partial<Holder> | null): string {
  const { pid, host, since } = holder ?? {}
  return Number.isInteger(pid) && typeof host === 'string' && typeof since === 'string'
    ? `process ${pid} on ${plain(host, 60)} since ${plain(since, 30)}`
    : 'a run that does not say who it is'
}

// Who made a lock or a half-written file, in a way that survives a reused process number: containers start at 1 again,
// and on one disk may stand files of several machines. Node only.
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/**
 * A process: `place` is equal where process numbers mean the same, `start` tells a process from a later one of its
 * number.
 */
export interface Owner {
  place: string
  pid: number
  start: string
}

const quiet = <T>(read: () => T, otherwise: T): T => {
  try {
    return read()
  } catch {
    return otherwise
  }
}

let place: string | null = null

function placeOfThis(): string {
  const boot = quiet(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), '')
  const space = quiet(() => readlinkSync('/proc/self/ns/pid'), '')
  return createHash('sha256').update(`${hostname()} ${boot} ${space}`).digest('hex').slice(0, 10)
}

/**
 * Field 22 of /proc/<pid>/stat: clock ticks from boot to the start of the process; '' where the system does not say.
 */
function startOf(pid: number): string {
  const stat = quiet(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '')
  return stat ? stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] : ''
}

/** This process. */
export function thisOwner(): Owner {
  place ??= placeOfThis()
  return { place, pid: process.pid, start: startOf(process.pid) }
}

/** Whether a process still runs: null where that cannot be told from here (another machine or container). */
export function isAlive({ place: where, pid, start }: Owner): boolean | null {
  if (where !== thisOwner().place) return null
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const now = startOf(pid)
  return start === '' || now === '' || now === start
}

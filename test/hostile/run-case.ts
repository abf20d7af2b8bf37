// Runs one hostile input as a user would: a fresh process in a folder of its own. Whatever is not as it should be is
// returned as sentences.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { HostileCase } from './case.ts'

/** Nothing may take longer. Seconds. */
export const HANG = 20

/** How a case ended. */
export interface Outcome {
  faults: string[]
  code: number | null
  seconds: number
}

/** Runs a case with the command line at `cli`; `slow` stretches the clock on a busy machine. */
export async function runCase(cli: string, each: HostileCase, slow = 1): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'hostile-'))
  try {
    for (const [name, content] of Object.entries(each.files)) {
      const path = join(folder, name)
      mkdirSync(dirname(path), { recursive: true })
      if (typeof content === 'function') content(path)
      else writeFileSync(path, content)
    }
    const before = snapshot(folder)
    const args = each.args.map((arg) => arg.replace(/(^|[:,=])\$(?=\/|$)/g, `$1${folder}`))
    const start = performance.now()
    const ended = await run(cli, args, each, folder, HANG * slow)
    const seconds = (performance.now() - start) / 1000
    return {
      faults: [...faultsOf(each, ended), ...changesOf(before, snapshot(folder), each)],
      code: ended.code,
      seconds,
    }
  } finally {
    chmodSync(folder, 0o755)
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Ended {
  code: number | null
  signal: string | null
  hung: boolean
  stdout: string
  stderr: string
}

function run(cli: string, args: readonly string[], each: HostileCase, folder: string, limit: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
    const redirect = `${each.stdout === 'full' ? ' >/dev/full' : ''}${each.stderr === 'closed' ? ' 2>&-' : ''}`
    const plain = [process.execPath, cli, ...args]
    const line = [
      ...each.through ?? [],
      ...each.shell || redirect
        ? ['sh', '-c', `${each.shell ?? ':'}; exec ${plain.map(quote).join(' ')}${redirect}`]
        : plain,
    ]
    const child = spawn(line[0], line.slice(1), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const out: Buffer[] = [], err: Buffer[] = []
    if (each.stdout === 'closed') child.stdout.destroy()
    else child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    let hung = false
    const clock = setTimeout(() => {
      hung = true
      process.kill(-child.pid!, 'SIGKILL')
    }, limit * 1000)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(clock)
      resolve({ code, signal, hung, stdout: String(Buffer.concat(out)), stderr: String(Buffer.concat(err)) })
    })
  })
}

// What a terminal obeys. Escapes of the progress bar never come here: stderr is no terminal.
const obeyed = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

function faultsOf(each: HostileCase, { code, signal, hung, stdout, stderr }: Ended): string[] {
  const faults: string[] = []
  if (hung) faults.push(`hangs for more than ${HANG} s`)
  else if (signal) faults.push(`ended by ${signal}`)
  else if (!each.codes.includes(code!)) {
    faults.push(`exit ${code}, expected ${each.codes.join(' or ')}: ${stderr.slice(-300)}`)
  }
  for (const [name, text] of [['stdout', stdout], ['stderr', stderr]]) {
    if (/unexpected failure|please report/.test(text)) faults.push(`${name} says: ${text.slice(0, 300)}`)
    if (/^ {4}at /m.test(text)) faults.push(`${name} holds a stack trace: ${text.slice(0, 300)}`)
    if (obeyed.test(text)) faults.push(`${name} holds control characters: ${JSON.stringify(text.slice(0, 300))}`)
    if (/\[object |\bundefined\b/.test(text)) faults.push(`${name} holds no sentence: ${text.slice(0, 300)}`)
  }
  for (const [left] of stderr.matchAll(/^LEFT .*$/gm)) faults.push(left)
  if (code !== 0 && !hung && each.stderr !== 'closed' && each.stdout !== 'closed' && !`${stderr}${stdout}`.trim()) {
    faults.push('fails without a word')
  }
  const longest = Math.max(...stderr.split('\n').map((line) => line.length))
  if (longest > 2000) faults.push(`a line of ${longest} characters on stderr`)
  if (each.args.includes('--json') && !each.args.includes('--help') && (each.stdout ?? 'read') === 'read' && !hung) {
    try {
      JSON.parse(stdout)
    } catch {
      faults.push(`--json printed no JSON: ${stdout.slice(0, 200)}`)
    }
  }
  return faults
}

/** Digest of each plain file, kind of everything else, by path below the folder. */
function snapshot(folder: string): Map<string, string> {
  const all = new Map<string, string>()
  const walk = (below: string) => {
    for (const name of readdirSync(join(folder, below))) {
      const path = join(below, name), info = lstatSync(join(folder, path))
      if (info.isDirectory()) walk(path)
      else if (!info.isFile()) all.set(path, 'special')
      else if (info.size > 2 ** 26) all.set(path, `${info.size} bytes`)
      else all.set(path, createHash('sha256').update(readFileSync(join(folder, path))).digest('hex'))
    }
  }
  walk('')
  return all
}

function changesOf(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  { leaves = [] }: HostileCase,
): string[] {
  const faults: string[] = []
  for (const [path, digest] of before) {
    if (!after.has(path)) faults.push(`${path} is lost`)
    else if (after.get(path) !== digest && !leaves.includes(path)) faults.push(`${path} was changed`)
  }
  for (const path of after.keys()) {
    if (!before.has(path) && !leaves.some((left) => path === left || path.startsWith(`${left}/`))) {
      faults.push(`left ${path}`)
    }
  }
  return faults
}

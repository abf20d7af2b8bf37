// `bench --processes`: the same command line in several processes, one after the other, and one report of them all.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import type { BenchReport } from '../../bench/schema.ts'
import { AdapterError, EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import type { OnProgress } from '../pruning/progress.ts'

/** What tells a process that it is one of several; its progress then goes line by line to the one that asked. */
const variable = 'ESPALIER_BENCH_PROCESS', marker = 'bench-progress '

/** Where a process that is one of several tells its progress; null elsewhere. */
export const partProgress = (): OnProgress | null =>
  process.env[variable] === undefined
    ? null
    : (...told) => void process.stderr.write(`${marker}${JSON.stringify(told)}\n`)

/** Runs `espalier bench` with these arguments in so many processes. @throws what ended one of them. */
export async function reportsOf(
  processes: number,
  args: readonly string[],
  onProgress: OnProgress,
): Promise<BenchReport[]> {
  const reports: BenchReport[] = []
  for (let i = 0; i < processes; i++) {
    const told: OnProgress = (what, done, total, note = '') => {
      // Roofs and whatever else comes before the cases are not counted.
      if (what.startsWith('bench ')) {
        onProgress(what, i * total + done, processes * total, `process ${i + 1} of ${processes}, ${note}`)
      }
    }
    reports.push(await reportOf(args, told))
  }
  return reports
}

async function reportOf(args: readonly string[], onProgress: OnProgress): Promise<BenchReport> {
  const child = spawn(
    process.execPath,
    [...process.execArgv, realpathSync(process.argv[1]), 'bench', ...args, '--processes', '1', '--json'],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, [variable]: '1' } },
  )
  const end = () => child.kill('SIGKILL')
  process.once('exit', end)
  let out = '', errors = '', line = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const lines = (line + text).split('\n')
    line = lines.pop()!
    for (const each of lines) {
      if (each.startsWith(marker)) onProgress(...JSON.parse(each.slice(marker.length)) as Parameters<OnProgress>)
      else errors += `${each}\n`
    }
  })
  try {
    const [code, signal] = await once(child, 'close') as [number | null, NodeJS.Signals | null]
    if (code !== 0) throw failed(code, signal, out, errors + line)
    return JSON.parse(out) as BenchReport
  } finally {
    process.off('exit', end)
  }
}

/** The error of a process as this one's: the sentence and the exit code that its `--json` gave. */
function failed(code: number | null, signal: NodeJS.Signals | null, out: string, errors: string): Error {
  let message: unknown
  try {
    message = (JSON.parse(out) as { error?: unknown }).error
  } catch {
    // it ended before it could say anything
  }
  if (typeof message !== 'string') {
    const last = plain(errors.trim().split('\n').at(-1) ?? '', 500)
    message = `bench: a process that measures ended with ${signal ?? code}${last && `: ${last}`}; try --processes 1`
  }
  const Kind = code === 2 ? InputError : code === 3 ? AdapterError : EspalierError
  return new Kind(message as string)
}

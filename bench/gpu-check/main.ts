// `npm run gpu-check`: one part after the other, each in a process of its own, each result on the disk as its part
// ends; then one JSON and one HTML file of everything.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { InputError } from '../../src/base/errors.ts'
import { plain, quoted } from '../../src/base/quote.ts'
import { makeFolder, writeOutput } from '../../src/files/output.ts'
import { packageFile } from '../../src/files/package.ts'
import { type GpuCheckOptions, type Part, type PartResult, parts, type PartTask } from './parts.ts'
import { gpuCheckPage, summary } from './report.ts'

/** Seconds kept back for the report. */
const MARGIN = 10

/** Reads the arguments. @throws InputError. */
export function optionsOf(args: readonly string[]): GpuCheckOptions {
  const names = parts.map(({ name }) => name)
  let values
  try {
    ;({ values } = parseArgs({
      args: [...args],
      options: {
        out: { type: 'string' },
        adapter: { type: 'string' },
        minutes: { type: 'string' },
        threads: { type: 'string' },
        parts: { type: 'string' },
        small: { type: 'boolean' },
      },
    }))
  } catch (error) {
    throw new InputError(
      `gpu-check: ${plain((error as Error).message, 200)}; it takes --out <folder>, --adapter <name>, --minutes <n>, `
        + '--threads <n>, --parts <names>, --small',
    )
  }
  const minutes = Number(values.minutes ?? 8),
    threads = values.threads === undefined ? undefined : Number(values.threads)
  if (!(minutes > 0 && minutes <= 600)) {
    throw new InputError(`--minutes ${quoted(values.minutes ?? '', 40)}: expected a number above 0 and at most 600`)
  }
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
    throw new InputError(`--threads ${quoted(values.threads ?? '', 40)}: expected a whole number from 1 to 256`)
  }
  const only = values.parts?.split(',').map((name) => name.trim())
  const odd = only?.find((name) => !names.includes(name))
  if (odd !== undefined) throw new InputError(`--parts ${quoted(odd, 40)}: expected ${names.join(', ')}`)
  return {
    out: values.out ?? 'gpu-check',
    adapter: values.adapter,
    minutes,
    small: values.small ?? false,
    only,
    threads,
  }
}

/** Runs the parts for which there is time and writes the report; how many parts did not end well. */
export async function gpuCheck(options: GpuCheckOptions, say: (line: string) => void): Promise<number> {
  const { out, minutes, only } = options, begin = performance.now(), results: PartResult[] = []
  const left = () => 60 * minutes - MARGIN - (performance.now() - begin) / 1000
  const wanted = parts.filter(({ name }) => !only || only.includes(name))
  makeFolder(out)
  for (const [i, part] of wanted.entries()) {
    // To rehearse is to see every part to its end, on whatever computes.
    const seconds = Math.min(options.small ? 5 * part.seconds : part.seconds, left())
    say(
      `${i + 1} of ${wanted.length}, ${part.name}: ${part.what}; at most ${
        Math.max(0, Math.round(left()))
      } s are left of all`,
    )
    const result = seconds < 5
      ? { name: part.name, what: part.what, state: 'left out' as const, seconds: 0, result: null }
      : await runPart(part, seconds, options, join(out, `${String(i + 1).padStart(2, '0')}-${part.name}.json`), say)
    results.push(result)
    say(
      `   ${result.state} after ${result.seconds.toFixed(0)} s${
        result.said ? `: ${plain(result.said.split('\n').at(-1)!, 200)}` : ''
      }`,
    )
    // After every part, so that whoever pulls the plug has all there is.
    writeOutput(join(out, 'gpu-check.json'), `${JSON.stringify({ schema: 1, options, parts: results }, null, 1)}\n`)
  }
  writeOutput(join(out, 'gpu-check.html'), gpuCheckPage(results))
  say('')
  for (const line of summary(results)) say(line)
  say(`everything: ${join(out, 'gpu-check.json')} and ${join(out, 'gpu-check.html')}`)
  return results.filter(({ state }) => state === 'failed' || state === 'late').length
}

async function runPart(
  part: Part,
  seconds: number,
  { adapter, small, threads }: GpuCheckOptions,
  file: string,
  say: (line: string) => void,
): Promise<PartResult> {
  const task: PartTask = { name: part.name, adapter, small, threads, seconds: 0.8 * seconds }
  const args = part.name.startsWith('ops') ? opsArguments(part, task) : [
    fileURLToPath(new URL(`./part${extname(import.meta.url)}`, import.meta.url)),
    JSON.stringify(task),
    file,
  ]
  const begin = performance.now(), { code, stdout, stderr, late } = await runNode(args, seconds, say)
  const took = (performance.now() - begin) / 1000, { name, what } = part
  if (part.name.startsWith('ops') && code === 0) writeOutput(file, stdout)
  const result: unknown = existsSync(file) && code === 0 ? JSON.parse(readFileSync(file, 'utf8')) : null
  const failures = (result as { failures?: string[] } | null)?.failures ?? []
  if (code === 0 && !failures.length) return { name, what, state: 'done', seconds: took, result }
  return {
    name,
    what,
    state: late ? 'late' : 'failed',
    seconds: took,
    result,
    said: failures.length ? failures.slice(0, 5).join('\n') : theirs(stderr).slice(-8).join('\n'),
  }
}

/** What a part said, without the lines that dawn writes of itself. */
const theirs = (stderr: string) => stderr.trim().split('\n').filter((line) => !line.startsWith('Warning: maxDynamic'))

/** The op checks are a bundle of their own, made of the tests' tables by src/build/gpu-check.mjs. */
function opsArguments({ name }: Part, { adapter, threads, small }: PartTask): string[] {
  const folder = packageFile('dist/gpu-check'), profile = name === 'ops-native' ? 'native' : 'browser'
  return [
    join(folder, 'ops.mjs'),
    join(folder, 'ops.safetensors'),
    JSON.stringify({ adapter, threads, profile }),
    ...small ? ['40'] : [],
  ]
}

interface Ended {
  code: number | null
  stdout: string
  stderr: string
  late: boolean
}

/** A process that is ended when its time is up; its lines of progress are passed on. */
function runNode(args: readonly string[], seconds: number, say: (line: string) => void): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = '', stderr = '', late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, 1000 * seconds)
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk
      for (const line of String(chunk).split('\n')) if (/^[\w-]+: .* of \d+/.test(line)) say(`   ${plain(line, 160)}`)
    })
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code, stdout, stderr, late })
    })
  })
}

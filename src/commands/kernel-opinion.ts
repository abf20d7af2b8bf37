// A second opinion on a kernel that shares no code with this package: wgsl_reflect parses the text anew, says which
// bindings, sizes and overrides it finds, and interprets the kernel to look for races. It runs in a thread of its own,
// which is ended where it takes too long, and is loaded only there.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { CompiledKernel, OverrideInfo } from '../cpu/abi.ts'
import { constantText } from '../gpu/constant-text.ts'
import type { Inputs } from './kernel-inputs.ts'

/** What wgsl_reflect makes of one entry point. */
export interface Opinion {
  /** Where its reflection is another than ours. */
  differences: string[]
  /** Races it reports; `known` says which of its known false alarms may be meant, null if none. */
  races: { line: number | null, message: string, known: string | null }[]
  /** What it could not say, and why. */
  notes: string[]
}

/** A kernel with what this package found out about it. */
export interface Reflected {
  text: string
  entry: string
  compiled: Pick<CompiledKernel, 'bindings' | 'workgroupSize'>
  overrides: readonly OverrideInfo[]
  /** Values of overrides, by name or id. */
  constants: Record<string, number>
}

/** Where wgsl_reflect is known to see races that are none. */
function knownFalseAlarm(text: string): string | null {
  const code = text.replace(/\/\/.*$/gm, '')
  if (/\b(for|while)\b[^{};]*(;[^{};]*;[^{};]*)?\{\s*\w+Barrier\(\)|\bloop\s*\{\s*\w+Barrier\(\)/.test(code)) {
    return 'a barrier is the first statement of a loop'
  }
  if (/\bworkgroupUniformLoad\b/.test(code)) return 'workgroupUniformLoad is a barrier it does not know'
  if (/\bsubgroup\w+\(/.test(code)) return 'subgroup operations exchange values that it does not follow'
  return null
}

interface Question {
  module: string
  text: string
  constant: string
  entry: string
  grid: number[] | null
  buffers: { group: number, binding: number, uniform: boolean, bytes: Uint8Array }[]
}
/** A reflection by wgsl_reflect. */
export interface Found {
  workgroupSize: number[] | null
  resources: { group: number, binding: number, name: string, kind: string, size: number }[]
  overrides: string[]
}
type Answer = { reflection: Found } | { races: { line: number | null, message: string }[], errors: string[] } | {
  failure: string,
}

/** The reflection of one entry point by wgsl_reflect. Its text runs in a thread: it uses nothing outside itself. */
export function reflectionOf(
  WgslReflect: typeof import('wgsl_reflect/wgsl_reflect.module.js').WgslReflect,
  text: string,
  constant: string,
  entry: string,
): Found {
  const { overrides } = new WgslReflect(text)
  const point = new WgslReflect(constant).entry.compute.find(({ name }) => name === entry)
  if (!point) throw new Error('it finds no such compute entry point')
  return {
    workgroupSize: point.workgroupSize,
    overrides: overrides.map(({ name }) => name),
    resources: point.resources.map(({ group, binding, name, resourceType, access, type, stride, members }) => {
      let { size } = type
      // a runtime-sized array counts one element
      const last = members?.at(-1)
      if (type.isArray && !size) size = stride
      if (last?.isArray && !last.count) size = last.offset + last.stride
      const kind = resourceType === 0 ? 'uniform' : access === 'read_write' ? 'storage' : 'read-only-storage'
      return { group, binding, name, size, kind }
    }),
  }
}

const thread = `
const { parentPort, workerData: { module, text, constant, entry, grid, buffers } } = require('node:worker_threads')
const reflectionOf = ${reflectionOf.toString()}
import(module).then(({ WgslReflect, detectRaces }) => {
  parentPort.postMessage({ reflection: reflectionOf(WgslReflect, text, constant, entry) })
  if (!grid) return
  const groups = {}
  for (const { group, binding, uniform, bytes } of buffers) {
    groups[group] ??= {}
    groups[group][binding] = uniform ? { uniform: bytes.buffer } : bytes.buffer
  }
  const { races, errors } = detectRaces(constant, entry, grid, groups)
  parentPort.postMessage({
    errors,
    races: races.map(({ a, message }) => ({ line: a.line > 0 ? a.line : null, message })),
  })
}).catch((error) => parentPort.postMessage({ failure: String(error && error.message || error) }))
`

/** Most invocations to interpret: it takes about a millisecond for a few statements of each. */
const INVOCATIONS = 512

/**
 * Asks wgsl_reflect about an entry point.
 * @param inputs buffers for its race detector; null asks for the reflection alone
 * @param timeLimit seconds after which it is left at what it has said
 */
export async function secondOpinion(
  { text, entry, compiled, overrides, constants }: Reflected,
  inputs: Inputs | null,
  timeLimit: number,
): Promise<Opinion> {
  const { workgroupSize: size } = compiled
  const grid = inputs && inputs.grid.map((n) => Math.min(n, 2))
  const many = grid !== null && [...grid, ...size].reduce((product, n) => product * n, 1) > INVOCATIONS
  const question: Question = {
    module: pathToFileURL(createRequire(import.meta.url).resolve('wgsl_reflect/wgsl_reflect.module.js')).href,
    text,
    constant: constantText(text, constants),
    entry,
    grid: many ? [1, 1, 1] : grid,
    buffers: (inputs?.buffers ?? []).map(({ binding: { group, binding, kind }, bytes }) => ({
      group,
      binding,
      uniform: kind === 'uniform',
      bytes: bytes.slice(),
    })),
  }
  const opinion: Opinion = { differences: [], races: [], notes: [] }
  await ask(question, timeLimit, (answer) => {
    if ('failure' in answer) opinion.notes.push(`gives no answer: ${answer.failure}`)
    else if ('reflection' in answer) opinion.differences = differences(answer.reflection, compiled, overrides)
    else {
      const known = knownFalseAlarm(text)
      opinion.races = answer.races.map((race) => ({ ...race, known }))
      opinion.notes.push(...answer.errors.map((error) => `its race detector: ${error}`))
    }
  }, (line) => opinion.notes.push(line))
  return opinion
}

/** Runs the thread until it ends, or is ended. */
async function ask(
  workerData: Question,
  timeLimit: number,
  tell: (answer: Answer) => void,
  note: (line: string) => void,
): Promise<void> {
  const worker = new Worker(thread, { eval: true, workerData, stdout: true, stderr: true })
  await new Promise<void>((resolve) => {
    const late = setTimeout(() => {
      note(`did not end within ${timeLimit} s`)
      void worker.terminate()
    }, timeLimit * 1000)
    worker.on('message', tell)
    worker.on('error', ({ message }) => {
      note(`ended: ${message}`)
    })
    worker.on('exit', () => {
      clearTimeout(late)
      resolve()
    })
  })
}

/** Where the reflections of an entry point differ. */
export function differences(
  theirs: Found,
  { bindings, workgroupSize }: Reflected['compiled'],
  overrides: readonly OverrideInfo[],
): string[] {
  const found: string[] = []
  const compare = (what: string, mine: unknown, other: unknown) => {
    if (String(mine) !== String(other)) found.push(`${what}: ${String(mine)} here, ${String(other)} by wgsl_reflect`)
  }
  compare('workgroup size', workgroupSize.join(' x '), theirs.workgroupSize?.join(' x ') ?? 'none')
  compare('overrides', names(overrides.map(({ name }) => name)), names(theirs.overrides))
  compare('bindings', names(bindings.map(({ name }) => name)), names(theirs.resources.map(({ name }) => name)))
  for (const { name, group, binding, kind, minSize } of bindings) {
    const other = theirs.resources.find((one) => one.name === name)
    if (!other) continue
    compare(
      `place of ${name}`,
      `@group(${group}) @binding(${binding})`,
      `@group(${other.group}) @binding(${other.binding})`,
    )
    compare(`kind of ${name}`, kind, other.kind)
    compare(`bytes of ${name}`, minSize, other.size)
  }
  return found
}

const names = (list: string[]): string => list.toSorted().join(', ') || 'none'

/** An opinion as people read it: one line, and one for each thing it could not say. */
export function linesOf(entry: string, { differences, races, notes }: Opinion): string[] {
  const about = `${entry}: second opinion, wgsl_reflect:`
  const [race] = races
  return [
    ...notes.length
      ? notes.map((note) => `${about} ${note}`)
      : [
        `${about} ${differences.length ? 'another reflection' : 'the same reflection'}, ${
          race ? `${races.length} reports of races` : 'no race'
        }`,
      ],
    ...race?.known
      ? [`${about} ${race.message}; perhaps a false alarm, because ${race.known}, so that it does not count`]
      : [],
  ]
}

// The plan of a sweep on many machines: which curves there are, and all that each of them depends on, in one file with
// a digest. Whoever computes a part of it checks that it reads what was planned.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain, shown } from '../base/quote.ts'
import { guard } from '../files/guard.ts'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { type Curved, isCount } from './point.ts'

/** One task: one curve. */
export interface Task extends Curved {
  /** What its files are named by. */
  key: string
  /** How many classes are told apart. */
  among: number
}

/** What is planned; plain data. */
export interface SweepPlan {
  format: typeof FORMAT
  version: string
  /** The command as it was typed, for the report. */
  command: string
  /** The folder that the names of files count from. */
  cwd: string
  model: string
  /** Flags of the command. */
  options: Readonly<Record<string, unknown>>
  /** What results depend on, the content of files included. */
  settings: Readonly<Record<string, unknown>>
  rates: number[]
  tasks: Task[]
  /** SHA-256 of everything else. */
  digest: string
}

const FORMAT = 1, NAME = 'plan.json'

/** Where the plan of a folder stands. */
export const planFile = (folder: string): string => join(folder, NAME)

/** A name for the files of a curve, which no other has, however long and odd its method is written. */
export function keyOf({ method, source, seed }: Curved): string {
  const digest = createHash('sha256').update(JSON.stringify([method, source ?? null, seed])).digest('hex')
  return `${method.replace(/[^\w-]+/g, '_').slice(0, 60)}-${seed}-${digest.slice(0, 8)}`
}

/** A plan of these curves. */
export function makePlan(
  parts: Omit<SweepPlan, 'format' | 'version' | 'tasks' | 'digest'> & { curves: readonly Omit<Task, 'key'>[] },
): SweepPlan {
  const { curves, ...rest } = parts
  const tasks = curves.map(({ method, source, seed, among }) => ({
    key: keyOf({ method, source, seed }),
    method,
    ...source !== undefined && { source },
    seed,
    among,
  }))
  const content = JSON.parse(JSON.stringify({ format: FORMAT, version: packageVersion(), ...rest, tasks })) as Omit<
    SweepPlan,
    'digest'
  >
  return { ...content, digest: digestOf(content) }
}

const digestOf = ({ digest: _, ...content }: Partial<SweepPlan>) =>
  createHash('sha256').update(JSON.stringify(content)).digest('hex')

/** Puts a plan in its folder. */
export const writePlan = (folder: string, plan: SweepPlan): void =>
  writeOutput(planFile(folder), `${JSON.stringify(plan, null, 1)}\n`)

/** The plan of a folder; null where there is none. @throws InputError for one that is damaged or was edited. */
export function findPlan(folder: string): SweepPlan | null {
  const file = planFile(folder), name = plain(file)
  if (!existsSync(file)) return null
  const text = guard(file, () => readFileSync(file, 'utf8'), true)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new InputError(`${name}: expected the plan of a sweep, found no JSON; give another folder`)
  }
  const { format } = (typeof value === 'object' ? value ?? {} : {}) as Partial<SweepPlan>
  if (format !== FORMAT) {
    throw new InputError(
      `${name}: expected the plan of a sweep (format ${FORMAT}), found ${shown(format ?? value)}; give another folder`,
    )
  }
  const plan = value as SweepPlan
  if (digestOf(plan) !== plan.digest || !isWhole(plan)) {
    throw new InputError(`${name}: is not what its digest says; it was edited or damaged, submit the sweep again`)
  }
  return plan
}

/** The plan of a folder. @throws InputError, also where there is none. */
export function readPlan(folder: string): SweepPlan {
  const plan = findPlan(folder)
  if (plan) return plan
  const found = existsSync(folder) ? `no ${NAME}` : 'no such folder'
  throw new InputError(
    `${plain(folder) || "''"}: expected the folder of a sweep that was started with --on slurm, found ${found}; `
      + 'give its --out',
  )
}

/** Whether the fields are of the kinds that the rest of the program counts on. */
function isWhole(plan: Partial<SweepPlan>): boolean {
  const { version, command, cwd, model, options, settings, rates, tasks } = plan
  const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
  return [version, command, cwd, model].every((text) => typeof text === 'string') && isObject(options)
    && isObject(settings) && Array.isArray(rates) && rates.every((rate) => typeof rate === 'number')
    && Array.isArray(tasks) && tasks.length > 0
    && tasks.every((task) =>
      isObject(task) && isCount(task.seed) && isCount(task.among) && typeof task.method === 'string'
      && task.key === keyOf(task)
    )
}

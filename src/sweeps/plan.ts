// The plan of a sweep on many machines: which curves there are, and what each of them depends on.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { findPlanFile, isObject, type PlanFile, sealPlan } from './plan-file.ts'
import { type Curved, isCount } from './point.ts'

export { planFile, writePlan } from './plan-file.ts'

/** One task: one curve. */
export interface Task extends Curved {
  /** What its files are named by. */
  key: string
  /** How many classes are told apart. */
  among: number
}

/** What is planned. */
export interface SweepPlan extends PlanFile {
  kind?: undefined
  rates: number[]
  tasks: Task[]
}

/** A name for the files of a curve, which no other has, however long and odd its method is written. */
export function keyOf({ method, source, seed }: Curved): string {
  const digest = createHash('sha256').update(JSON.stringify([method, source ?? null, seed])).digest('hex')
  return `${method.replace(/[^\w-]+/g, '_').slice(0, 60)}-${seed}-${digest.slice(0, 8)}`
}

/** A plan of these curves. */
export function makePlan(
  parts: Omit<SweepPlan, 'format' | 'kind' | 'version' | 'tasks' | 'digest'> & { curves: readonly Omit<Task, 'key'>[] },
): SweepPlan {
  const { curves, ...rest } = parts
  const tasks = curves.map(({ method, source, seed, among }) => ({
    key: keyOf({ method, source, seed }),
    method,
    ...source !== undefined && { source },
    seed,
    among,
  }))
  return sealPlan({ ...rest, tasks })
}

/** The plan of a folder; null where there is none. @throws InputError for one that is damaged or was edited. */
export const findPlan = (folder: string): SweepPlan | null =>
  findPlanFile<SweepPlan>(
    folder,
    undefined,
    ({ rates, tasks }) =>
      Array.isArray(rates) && rates.every((rate) => typeof rate === 'number')
      && Array.isArray(tasks) && tasks.length > 0
      && tasks.every((task) =>
        isObject(task) && isCount(task.seed) && isCount(task.among) && typeof task.method === 'string'
        && task.key === keyOf(task)
      ),
  )

/** The plan of a folder. @throws InputError, also where there is none. */
export function readPlan(folder: string): SweepPlan {
  const plan = findPlan(folder)
  if (plan) return plan
  const found = existsSync(folder) ? 'no plan.json' : 'no such folder'
  throw new InputError(
    `${plain(folder) || "''"}: expected the folder of a sweep that was started with --on slurm, found ${found}; `
      + 'give its --out',
  )
}

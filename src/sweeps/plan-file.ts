// A plan of work on many machines: what is to be done and all that it depends on, in one file with a digest. Whoever
// does a part of it checks that it reads what was planned.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain, shown } from '../base/quote.ts'
import { guard } from '../files/guard.ts'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'

/** What every plan says; plain data. */
export interface PlanFile {
  format: typeof FORMAT
  /** Of which command it is; not there for a sweep. */
  kind?: 'prune'
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
  /** SHA-256 of everything else. */
  digest: string
}

const FORMAT = 1, NAME = 'plan.json'

/** Where the plan of a folder stands. */
export const planFile = (folder: string): string => join(folder, NAME)

/** The content as a plan of this version. */
export function sealPlan<C extends object>(
  content: C,
): C & Pick<PlanFile, 'format' | 'version' | 'digest'> {
  const whole = JSON.parse(JSON.stringify({ format: FORMAT, version: packageVersion(), ...content })) as
    & C
    & Pick<PlanFile, 'format' | 'version'>
  return { ...whole, digest: digestOf(whole) }
}

/** SHA-256 of plain data but for its own digest. */
export const digestOf = (data: object): string =>
  createHash('sha256').update(JSON.stringify({ ...data, digest: undefined })).digest('hex')

/** Puts a plan in its folder. */
export const writePlan = (folder: string, plan: PlanFile): void =>
  writeOutput(planFile(folder), `${JSON.stringify(plan, null, 1)}\n`)

/**
 * The plan of a folder, of a command of this kind; null where there is none. @throws InputError for one that is
 * damaged, was edited, or is of another command.
 */
export function findPlanFile<P extends PlanFile>(
  folder: string,
  kind: P['kind'],
  isWhole: (plan: Partial<P>) => boolean,
): P | null {
  const file = planFile(folder), name = plain(file), what = kind ?? 'sweep'
  if (!existsSync(file)) return null
  const text = guard(file, () => readFileSync(file, 'utf8'), true)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new InputError(`${name}: expected the plan of a ${what}, found no JSON; give another folder`)
  }
  const { format, kind: found } = (typeof value === 'object' ? value ?? {} : {}) as Partial<PlanFile>
  if (format !== FORMAT) {
    throw new InputError(
      `${name}: expected the plan of a ${what} (format ${FORMAT}), found ${
        shown(format ?? value)
      }; give another folder`,
    )
  }
  const plan = value as P
  if (digestOf(plan) === plan.digest && found !== kind) {
    throw new InputError(
      `${name}: expected the plan of a ${what}, found that of a ${found ?? 'sweep'}; ask espalier ${found ?? 'sweep'}`,
    )
  }
  if (digestOf(plan) !== plan.digest || !isShared(plan) || !isWhole(plan)) {
    throw new InputError(`${name}: is not what its digest says; it was edited or damaged, submit the ${what} again`)
  }
  return plan
}

/** Whether a value is an object with names. */
export const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isShared = ({ version, command, cwd, model, options, settings }: Partial<PlanFile>) =>
  [version, command, cwd, model].every((text) => typeof text === 'string') && isObject(options) && isObject(settings)

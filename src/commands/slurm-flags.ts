// Flags of commands that spread their work over a Slurm cluster, and the forms without a model that belong to them.
import { type Command, Option } from 'commander'
import { InputError } from '../base/errors.ts'
import { wholeNumber } from './command.ts'
import { oneOf } from './pruner.ts'

/** `--on slurm` and what goes with it. */
export interface SlurmOptions {
  on?: 'slurm'
  /** Options of sbatch. */
  slurm?: string
  parallel?: number
}

/** Forms for which no work is described: `--status` and `--cancel`, and what jobs run. */
export interface FolderForms {
  status?: string
  cancel?: string
  task?: string
  merge?: string
  plan?: string
  first?: number
  submission?: string
}

/** Adds those flags. `tasks` says what is spread, `place` what `--out` is. */
export function addSlurm(command: Command, tasks: string, place: string): Command {
  command
    .option(
      '--on <what>',
      `slurm: ${tasks} in job arrays of a cluster, over a folder that its machines share; follows them until Ctrl-C, `
        + 'which leaves them running',
      oneOf(['slurm'] as const, '--on'),
    )
    .option('--slurm <options>', 'with --on slurm: options of sbatch, e.g. "--partition=gpu --time=2:00:00"')
    .option('--parallel <n>', 'with --on slurm: at most so many tasks at once', wholeNumber(1, 1_000_000))
    .option(`--status <${place}>`, 'how far the jobs of this --out are; takes nothing else')
    .option(`--cancel <${place}>`, 'ends the jobs of this --out, keeps what they measured; takes nothing else')
    .addOption(new Option('--task <dir>').hideHelp())
    .addOption(new Option('--merge <dir>').hideHelp())
    .addOption(new Option('--plan <digest>').hideHelp())
    .addOption(new Option('--first <task>').hideHelp().argParser(wholeNumber(0, 1_000_000_000)))
    .addOption(new Option('--submission <id>').hideHelp())
  // These stand alone: the model and what else is required are in the folder's plan.
  for (const form of ['status', 'cancel', 'task', 'merge']) {
    command.on(`option:${form}`, () => {
      for (const option of command.options) option.makeOptionMandatory(false)
      for (const argument of command.registeredArguments) argument.argOptional()
    })
  }
  return command
}

type Given = SlurmOptions & FolderForms & { args: string[] }

/** @throws InputError for flags that do not go together. */
export function checkForm(name: string, { on, slurm, parallel, status, cancel, task, merge, args }: Given): void {
  const alone = Object.entries({ status, cancel, task, merge }).filter(([, value]) => value !== undefined)
  if (alone.length > 1 || alone.length && (args.length || on)) {
    throw new InputError(
      `${name} --${alone[0][0]}: expected nothing but the ${
        name === 'sweep' ? 'folder' : '--out'
      } of a ${name}, found ${
        alone.length > 1 ? `--${alone[1][0]}` : on ? '--on' : 'a model'
      } as well; give one of them`,
    )
  }
  if (!on && (slurm !== undefined || parallel !== undefined)) {
    throw new InputError(
      `${name} --${slurm === undefined ? 'parallel' : 'slurm'}: is for --on slurm; add that, or leave it out`,
    )
  }
}

/** A folder and the plan that is expected in it. */
export interface Planned {
  folder: string
  /** Its digest. */
  digest: string
}

/** What sbatch's script asks for: one task, or the merging. @throws InputError where it was not started by a job. */
export function jobAsked(
  name: string,
  { task, merge, plan, first, submission }: FolderForms,
): Planned & ({ index: number } | { submission: string }) {
  if (plan !== undefined && merge !== undefined && submission !== undefined) {
    return { folder: merge, digest: plan, submission }
  }
  const element = Number(process.env.SLURM_ARRAY_TASK_ID)
  if (plan === undefined || task === undefined || first === undefined || !Number.isInteger(element)) {
    throw new InputError(`${name} --task: expected to be started by a job of Slurm, found no such; use --on slurm`)
  }
  return { folder: task, digest: plan, index: first + element }
}

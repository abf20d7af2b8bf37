// `espalier sweep`: accuracy, cost and time against pruning rate, for several methods and seeds. Every point is on the
// disk as soon as it is measured; the same command goes on from there.
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import type { Model } from '../nn/model.ts'
import { close, init } from '../gpu/device.ts'
import { disposeTree } from '../core/tree.ts'
import { jobIds, readJobs } from '../sweeps/jobs.ts'
import { placeOf } from '../sweeps/point.ts'
import { queue } from '../sweeps/slurm.ts'
import type { Answer, CommandSpec, Reporter } from './command.ts'
import { openModel } from './pruner.ts'
import { CurveRun } from './sweep-curve.ts'
import { takeAttempts } from './sweep-points.ts'
import { concludeSweep } from './sweep-result.ts'
import { declareSweep, type FolderForms, setUpSweep, type SweepOptions } from './sweep-setup.ts'

type Flags = SweepOptions & FolderForms & { args: string[] }

/** The command `espalier sweep <model> --methods a,b --data <data> --test <data> --out <dir>`. */
export const sweep: CommandSpec<SweepOptions & FolderForms> = {
  name: 'sweep',
  summary: 'accuracy, multiply-adds, parameters and time against pruning rate for several methods; '
    + 'goes on after an interruption; HTML with plots',
  example:
    'espalier sweep net.safetensors --methods pxp,magnitude,random --data folder:train --test folder:val --out sweep',
  declare: declareSweep,
  async run(options, reporter) {
    checkForm(options)
    const { status, cancel, task, merge, on } = options
    if (status !== undefined) return (await import('./sweep-status.ts')).sweepStatus(status)
    if (cancel !== undefined) return (await import('./sweep-status.ts')).cancelSweep(cancel)
    if (task !== undefined || merge !== undefined) return runJob(options, reporter)
    return on ? (await import('./sweep-slurm.ts')).sweepOnSlurm(options, reporter) : sweepHere(options, reporter)
  },
}

/** The whole sweep on this machine. */
async function sweepHere(options: SweepOptions & { args: string[] }, reporter: Reporter): Promise<Answer> {
  const plan = await setUpSweep(options, reporter)
  let model: Model | null = null
  try {
    await refuseJobs(options.out)
    takeAttempts(plan)
    const { adapter } = await init({ adapter: options.adapter, threads: options.threads })
    model = openModel(plan.job)
    const place = placeOf(adapter.name)
    for (const run of plan.runs) await new CurveRun(run, plan, options, model, place, reporter).measure()
    return await concludeSweep(plan, options, adapter.name)
  } finally {
    plan.folder.close()
    disposeTree(model)
    await close()
  }
}

/** @throws InputError where jobs of Slurm work in the folder; where there is no Slurm, there are none. */
async function refuseJobs(out: string): Promise<void> {
  const jobs = readJobs(out), ids = jobs ? jobIds(jobs) : []
  const waiting = ids.length ? await queue(ids).catch(() => []) : []
  if (!waiting.length) return
  throw new InputError(
    `--out ${plain(out)}: jobs ${ids.join(', ')} of Slurm work in this folder; wait for them (sweep --status), or end `
      + 'them by espalier sweep --cancel',
  )
}

/** What sbatch's script starts. */
async function runJob({ task, merge, plan, first, submission }: Flags, reporter: Reporter): Promise<Answer> {
  const { mergeSweep, runTask } = await import('./sweep-task.ts')
  if (plan !== undefined && merge !== undefined && submission !== undefined) {
    return mergeSweep({ folder: merge, digest: plan }, submission, reporter)
  }
  const element = Number(process.env.SLURM_ARRAY_TASK_ID)
  if (plan === undefined || task === undefined || first === undefined || !Number.isInteger(element)) {
    throw new InputError('sweep --task: expected to be started by a job of Slurm, found no such; use --on slurm')
  }
  return runTask({ folder: task, digest: plan }, first + element, reporter)
}

/** @throws InputError for flags that do not go together. */
function checkForm(options: Flags): void {
  const { on, slurm, parallel, status, cancel, task, merge, args } = options
  const alone = Object.entries({ status, cancel, task, merge }).filter(([, value]) => value !== undefined)
  if (alone.length > 1 || alone.length && (args.length || on)) {
    throw new InputError(
      `sweep --${alone[0][0]}: expected nothing but the folder of a sweep, found ${
        alone.length > 1 ? `--${alone[1][0]}` : on ? '--on' : 'a model'
      } as well; give one of them`,
    )
  }
  if (!on && (slurm !== undefined || parallel !== undefined)) {
    throw new InputError(
      `sweep --${slurm === undefined ? 'parallel' : 'slurm'}: is for --on slurm; add that, or leave it out`,
    )
  }
}

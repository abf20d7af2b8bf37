// `espalier sweep`: accuracy, cost and time against pruning rate, for several methods and seeds. Every point is on the
// disk as soon as it is measured; the same command goes on from there.
import type { Model } from '../nn/model.ts'
import { close, init } from '../gpu/device.ts'
import { disposeTree } from '../core/tree.ts'
import { placeOf } from '../sweeps/point.ts'
import type { Answer, CommandSpec, Reporter } from './command.ts'
import { refuseJobs } from './on-slurm.ts'
import { openModel } from './pruner.ts'
import { checkForm, type FolderForms, jobAsked } from './slurm-flags.ts'
import { CurveRun } from './sweep-curve.ts'
import { takeAttempts } from './sweep-points.ts'
import { concludeSweep } from './sweep-result.ts'
import { declareSweep, setUpSweep, type SweepOptions } from './sweep-setup.ts'

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
    checkForm('sweep', options)
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
    await refuseJobs({ command: 'sweep', folder: options.out, out: options.out })
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

/** What sbatch's script starts. */
async function runJob(options: Flags, reporter: Reporter): Promise<Answer> {
  const { mergeSweep, runTask } = await import('./sweep-task.ts'), asked = jobAsked('sweep', options)
  return 'index' in asked ? runTask(asked, asked.index, reporter) : mergeSweep(asked, asked.submission, reporter)
}

// `espalier prune`: on this machine, to a sparsity pattern, or with the scoring spread over a cluster.
import { InputError } from '../base/errors.ts'
import type { CommandSpec } from './command.ts'
import { refuseJobs } from './on-slurm.ts'
import { workFolder } from './prune-plan.ts'
import { checkPrune, preparePrune, pruneChecked } from './prune-run.ts'
import { declarePrune, type PruneOptions } from './prune-setup.ts'
import { checkForm, type FolderForms, jobAsked } from './slurm-flags.ts'

/** The command `espalier prune <model> --method <name> --data <data> --out <file>`. */
export const prune: CommandSpec<PruneOptions & FolderForms> = {
  name: 'prune',
  summary: 'scores units, cuts the least important ones, fine-tunes if asked, checks the smaller network and saves it',
  example: 'espalier prune deit_tiny.safetensors --method pxp --macs 0.7 --data folder:train --test folder:val '
    + '--out small.safetensors',
  declare: declarePrune,
  async run(given, reporter) {
    checkForm('prune', given)
    const { status, cancel, task, merge, on } = given
    if (status !== undefined) return (await import('./prune-status.ts')).pruneStatus(status)
    if (cancel !== undefined) return (await import('./prune-status.ts')).cancelPrune(cancel)
    if (task !== undefined || merge !== undefined) {
      const { mergeShards, runShard } = await import('./prune-task.ts'), asked = jobAsked('prune', given)
      return 'index' in asked ? runShard(asked, asked.index, reporter) : mergeShards(asked, asked.submission, reporter)
    }
    if (on) return (await import('./prune-slurm.ts')).pruneOnSlurm(given, reporter)
    if (given.shard !== undefined) throw new InputError('prune --shard: is for --on slurm; add that, or leave it out')
    if (given.pattern !== undefined) return (await import('./prune-pattern.ts')).pruneToPattern(given, reporter)
    const checked = await checkPrune(given)
    await refuseJobs({ command: 'prune', folder: workFolder(given.out), out: given.out })
    return pruneChecked(checked, await preparePrune(checked, reporter), reporter)
  },
}

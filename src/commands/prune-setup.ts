// Flags of `espalier prune`, and what of them can be checked before any work.
import type { Command } from 'commander'
import { patternForms } from '../sparse/registry.ts'
import { methodHelp, optionHelp } from '../pruning/methods/index.ts'
import { derived, type NamedFile } from './claims.ts'
import { wholeNumber } from './command.ts'
import { numberWithin } from './model.ts'
import { addPruner, oneOf, type PrunerOptions } from './pruner.ts'
import { addRecipe } from './recipe.ts'
import { addSetting } from './settings.ts'
import { addSlurm, type SlurmOptions } from './slurm-flags.ts'

/** Images of a shard where `--shard` says nothing else. */
export const USUAL_SHARD = 256

/** Flags of `prune`. */
export interface PruneOptions extends PrunerOptions, SlurmOptions {
  method: string
  out: string
  keep?: number
  macs?: number
  params?: number
  bytes?: number
  ms?: number
  ranking: 'global' | 'per-unit'
  multiple: number
  minimum: number
  steps: number
  finetune?: number
  rate: number
  flip?: number
  ema?: number
  distill?: 'soft' | 'hard'
  best?: number
  recipe?: string
  dryRun?: boolean
  report?: string
  f16?: boolean
  /** A sparsity pattern instead of a cut. */
  pattern?: string
  density?: number
  skip?: string
  overwrite?: boolean
  /** Options of the method. */
  set?: Record<string, string>
  /** With `--on slurm`: images that one task scores by. */
  shard?: number
}

/** The network, and the report with its numbers. */
export const filesWritten = ({ out, report }: Pick<PruneOptions, 'out' | 'report'>): NamedFile[] => [
  { flag: '--out', path: out },
  ...report === undefined ? [] : [
    { flag: '--report', path: report },
    derived('--report', report === '' ? '' : jsonBeside(report), 'the numbers of the report'),
  ],
]

/** `small.html` has its numbers in `small.json`. */
export const jsonBeside = (report: string): string => `${report.replace(/\.html?$/i, '')}.json`

/** Adds the flags of `prune`. */
export function declarePrune(command: Command): void {
  const fraction = numberWithin(0.001, 1)
  addPruner(command)
    .requiredOption(
      '--method <name>',
      `${methodHelp()}; or a .ts or .mjs file that exports one`,
    )
    .requiredOption('--out <file>', 'the pruned checkpoint')
    .option(
      '--keep <fraction>',
      'keep this share of the elements (one of --keep, --macs, --params, --bytes, --ms is required)',
      fraction,
    )
    .option('--macs <fraction>', 'keep at most this share of the multiply-adds', fraction)
    .option('--params <fraction>', 'keep at most this share of the parameters', fraction)
    .option('--bytes <n>', 'make the file at most so many bytes', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option(
      '--ms <x>',
      'at most so many milliseconds per image on this device, measured at --batch',
      numberWithin(1e-6, 1e9),
    )
    .option(
      '--ranking <how>',
      'global: least important of the whole network first; per-unit: the same share of every layer',
      oneOf(['global', 'per-unit'] as const, '--ranking'),
      'global',
    )
    .option('--multiple <n>', 'round widths to multiples of this', wholeNumber(1, 1024), 4)
    .option('--minimum <n>', 'leave at least so many elements of each unit', wholeNumber(1, 4096), 1)
    .option(
      '--steps <n>',
      'prune in so many steps, scoring anew before each (Yeom et al. 2021)',
      wholeNumber(1, 1000),
      1,
    )
    .option('--set <name=value>', 'an option of the method; may be given several times', addSetting)
    .option('--finetune <epochs>', 'train on --data between slicing and the check', wholeNumber(1, 100_000))
    .option('--rate <x>', 'peak learning rate of fine-tuning', numberWithin(0, 100), 1e-4)
    .option('--flip <p>', 'in training, the probability of mirroring left to right', numberWithin(0, 1))
    .option('--ema <x>', 'fine-tune with a moving average of the weights, e.g. 0.999', numberWithin(0, 0.999999))
    .option(
      '--distill <how>',
      'fine-tuning learns from the dense network too: soft (its softmax) or hard (its decision)',
      oneOf(['soft', 'hard'] as const, '--distill'),
    )
    .option(
      '--best <fraction>',
      'hold out this share of --data in fine-tuning and keep the epoch that is best on it',
      numberWithin(0.001, 0.9),
    )
    .option('--dry-run', 'say what would be trained, with memory and time, and write nothing')
    .option('--test <data>', 'images to measure accuracy on, before and after')
    .option('--report <html>', 'a report with figures, kept units and heatmaps; its numbers as .json beside it')
    .option(
      '--pattern <name>',
      `keep weights in a sparsity pattern instead of cutting units: ${
        patternForms.join(', ')
      }, or a .ts or .js file of `
        + 'your own; --method scores single weights then',
    )
    .option('--density <share>', 'with --pattern: the share of the weights that stays', numberWithin(0, 1))
    .option('--skip <layers>', 'with --pattern: layers that stay dense, with commas, * for anything: head,blocks.0.*')
    .option('--f16', 'store weights in half precision')
    .option('--overwrite', 'replace --out and --report if they are there')
    .addHelpText('after', () => `\n${optionHelp()}`)
  addRecipe(command)
  addSlurm(command, 'scoring, so many reference images a task,', 'file')
    .option(
      '--shard <n>',
      `with --on slurm: reference images that one task scores by (default: ${USUAL_SHARD})`,
      wholeNumber(1, 1_000_000),
    )
}

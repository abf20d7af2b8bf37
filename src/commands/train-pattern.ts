// `train --pattern`: weights become sparse while they train.
import type { Command } from 'commander'
import { InputError } from '../base/errors.ts'
import { withoutDevice } from '../core/tensor.ts'
import type { SparsityStep } from '../checkpoint/packed.ts'
import type { Model } from '../nn/model.ts'
import { patternForms } from '../sparse/registry.ts'
import { checkSparsityOptions, type SparsityOptions } from '../train/sparsity.ts'
import { wholeNumber } from './command.ts'
import { numberWithin } from './model.ts'
import { namedPattern } from './pattern.ts'
import { oneOf } from './pruner.ts'

/** Flags of it. */
export interface PatternFlags {
  pattern?: string
  density?: number
  skip?: string
  schedule?: 'cubic' | 'constant'
  begin?: number
  end?: number
  every?: number
  regrow?: number
  ranking?: 'global' | 'per-unit'
  seed?: number
}

const details = ['density', 'skip', 'schedule', 'begin', 'end', 'every', 'regrow', 'ranking'] as const

/** Adds those flags. */
export function addPatternFlags(command: Command): Command {
  return command
    .option(
      '--pattern <name>',
      `make weights of linear layers and convolutions sparse while they train: ${patternForms.join(', ')}, or a .ts or `
        + '.js file of your own; the checkpoint has them packed',
    )
    .option('--density <share>', 'with --pattern: the share of the weights that stays at the end', numberWithin(0, 1))
    .option('--skip <layers>', 'with --pattern: layers that stay dense, with commas, * for anything: head,blocks.0.*')
    .option(
      '--schedule <how>',
      'with --pattern: cubic (the density falls from 1 along a cubic, arXiv 1710.01878; default) or constant',
      oneOf(['cubic', 'constant'] as const, '--schedule'),
    )
    .option('--begin <share>', 'with --pattern: from which share of the run on (default 0)', numberWithin(0, 1))
    .option(
      '--end <share>',
      'with --pattern: after which share of the run all stays as it is (default 0.75)',
      numberWithin(0, 1),
    )
    .option(
      '--every <steps>',
      'with --pattern: steps between two changes (default: about thirty changes)',
      wholeNumber(1, 1_000_000),
    )
    .option(
      '--regrow <share>',
      'with --pattern: the share of kept tiles that gives way, at first, to those with the largest gradient (RigL, '
        + 'arXiv 1911.11134; default 0)',
      numberWithin(0, 0.999),
    )
    .option(
      '--ranking <how>',
      'with --pattern: per-unit: the same share of every weight (default); global: the largest of the whole network',
      oneOf(['global', 'per-unit'] as const, '--ranking'),
    )
}

/** What the flags ask for, checked on a model without content; null without `--pattern`. @throws InputError. */
export async function sparsityOf(
  flags: PatternFlags,
  model: () => Model,
  input: readonly [number, number, number],
): Promise<SparsityOptions | null> {
  if (flags.pattern === undefined) {
    const lost = details.find((flag) => flags[flag] !== undefined)
    if (lost) throw new InputError(`train: --${lost} goes with --pattern, found no --pattern`)
    return null
  }
  const { density, schedule, begin, end, every, regrow, ranking } = flags, pattern = await namedPattern(flags.pattern)
  const skip = flags.skip?.split(',').map((name) => name.trim())
  const wanted = { pattern, density, schedule, begin, end, every, regrow, ranking, skip }
  const options = Object.fromEntries(
    Object.entries(wanted).filter(([, value]) => value !== undefined),
  ) as unknown as SparsityOptions
  withoutDevice(() => {
    checkSparsityOptions(model(), [1, ...input], options)
  })
  return options
}

/** What of it must not change when a run goes on. */
export const sparsityRecipe = (options: SparsityOptions | null): object | undefined =>
  options ? { ...options, pattern: options.pattern.name } : undefined

/** The step that a file's record of its packed weights says. */
export const sparsityStep = (
  { pattern, schedule = 'cubic', regrow = 0, ranking = 'per-unit' }: SparsityOptions,
  density: number,
  seed: number,
): SparsityStep => ({
  method: regrow > 0 ? `${schedule}-regrow` : schedule,
  pattern: pattern.name,
  density,
  ranking,
  seed,
  scores: '',
})

// What commands that take a model share: how it is named, its preprocessing flags, and its figures.
import { type Command, InvalidArgumentError } from 'commander'
import { plain } from '../base/quote.ts'
import { type Preprocessing, withFlags } from '../data/preprocess.ts'
import { interpolations } from '../data/resize.ts'
import type { CommonOptions } from './command.ts'

/** Flags that say which architecture a file is, where the file does not. */
export interface ArchOptions extends CommonOptions {
  arch?: string
}

/** Flags of preprocessing, as typed. */
export interface PreprocessingOptions {
  resize?: string
  crop?: string
  mean?: string
  std?: string
  cropRounding?: string
  interpolation?: string
  resizeMode?: string
}

/** Adds `--arch`. */
export function addArch(command: Command): Command {
  return command.option(
    '--arch <name or JSON>',
    'the architecture, or some of its options, where the file does not tell: '
      + 'a name of espalier inspect --list, or {"heads":4}',
  )
}

/** Adds the flags of preprocessing. */
export function addPreprocessing(command: Command): Command {
  return command
    .option('--resize <n|none>', 'length the shorter side is resized to')
    .option('--crop <n|none>', 'side of the square cut out of the centre')
    .option('--mean <list>', 'mean of each channel, 0..1, with commas')
    .option('--std <list>', 'standard deviation of each channel, with commas')
    .option(
      '--crop-rounding <floor|torchvision>',
      'where the crop of an odd margin starts: (size - crop) >> 1, or rounded half to even',
    )
    .option('--interpolation <filter>', `how pictures are resized, as in Pillow: ${interpolations.join(', ')}`)
    .option(
      '--resize-mode <shortest|squash>',
      'resize the shorter side and keep proportions, or both sides to a square',
    )
}

/** The checkpoint's preprocessing with the flags over it. @throws InputError naming the flag. */
export function preprocessingWith(
  base: Preprocessing,
  { cropRounding, resizeMode, ...flags }: PreprocessingOptions,
): Preprocessing {
  const { resize, crop, mean, std, interpolation } = flags
  return withFlags(base, {
    resize,
    crop,
    mean,
    std,
    interpolation,
    'crop-rounding': cropRounding,
    'resize-mode': resizeMode,
  })
}

/** A parser for flags whose value is a number between two bounds, both allowed. */
export function numberWithin(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !(value >= least && value <= most)) {
      throw new InvalidArgumentError(`Expected a number from ${least} to ${most}.`)
    }
    return value
  }
}

/** 0.125 as '12.5 %'. */
export const percent = (fraction: number, digits = 2): string => `${(100 * fraction).toFixed(digits)} %`

/** 5717416 as '5.717 M'. */
export function large(count: number): string {
  const [unit, size] = ([['G', 1e9], ['M', 1e6], ['k', 1e3]] as const).find(([, size]) => count >= size) ?? ['', 1]
  return size === 1 ? String(count) : `${(count / size).toFixed(3)} ${unit}`
}

/** Rows as text in columns, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map((cell) => plain(cell, 400)))
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  const numeric = head.map((_, column) =>
    rows.length > 0 && rows.every((row) => /^-?[\d.,]* ?[%GMk]?$|^$/.test(row[column]))
  )
  const padded = (cell: string, column: number) =>
    numeric[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])
  return all.map((row) => row.map(padded).join('  ').trimEnd()).join('\n')
}

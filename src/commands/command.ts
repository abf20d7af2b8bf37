// What every command shares: its flags, how it answers, and how a wrong number in a flag is refused.
import { availableParallelism } from 'node:os'
import { InvalidArgumentError } from 'commander'
import { printable } from '../base/quote.ts'
import { type Precision, precisions } from '../gpu/precision.ts'
import type { Command } from 'commander'
import type { OnProgress } from '../pruning/progress.ts'
import { besideBars, progress } from './progress.ts'
import type { Progress } from './progress.ts'

/** Flags that every command takes. */
export interface CommonOptions {
  json?: boolean
  quiet?: boolean
  seed?: number
  /** Part of an adapter's name. */
  adapter?: string
  threads?: number
}

/** What a command may say while it runs: all of it goes to stderr, nothing where `--quiet` is given. */
export interface Reporter {
  say(line: string): void
  progress(what: string, total: number): Progress
}

/** How a command ends: `json` is the one object of `--json`, `text` what people read, `exitCode` 0 unless it failed. */
export interface Answer {
  json: object
  text: string
  exitCode?: 0 | 1
}

/**
 * One command of `espalier`; `args` are what stands there beside flags; errors are thrown as EspalierError, whose exit
 * code the process ends with.
 */
export interface CommandSpec<Options extends CommonOptions = CommonOptions> {
  name: string
  summary: string
  /** A command line for the help, complete enough to be run. */
  example: string
  /** Adds the command's own arguments and flags. */
  declare(command: Command): void
  run(options: Options & { args: string[] }, reporter: Reporter): Promise<Answer>
}

/** Adds the flags that every command takes. */
export function addCommonOptions(command: Command): Command {
  return command
    .option('--json', 'print one JSON object on stdout and nothing else')
    .option('--quiet', 'no progress on stderr')
    .option('--seed <n>', 'seed of everything random', wholeNumber(0, 2 ** 32 - 1))
    .option('--adapter <part of its name>', 'the adapter to compute on')
    .option(
      '--threads <n>',
      'threads of the embedded device; at most 16, or eight for each processor',
      (text) => Math.min(256, mostThreads(), wholeNumber(1, 1024)(text)),
    )
}

/** Adds the precision to a command that runs networks and reports what they say, not why. */
export function addPrecision(command: Command): Command {
  return command.option(
    '--precision <name>',
    'default; fast: also kernels with errors up to 3e-5 of the largest value; high: no transforms',
    (text): Precision => {
      const found = precisions.find((name) => name === text)
      if (!found) throw new InvalidArgumentError(`Expected ${precisions.join(', ')}.`)
      return found
    },
  )
}

// Far more threads than processors take turns at waiting for each other: 256 on two took 20 s to begin.
const mostThreads = () => Math.max(16, 8 * availableParallelism())

/** A parser for flags whose value is a whole number between two bounds, both allowed. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`)
    }
    return value
  }
}

/** The reporter for the flags given. */
export function reporterFor({ quiet = false }: CommonOptions): Reporter {
  return {
    say: (line) => {
      if (!quiet) besideBars(() => process.stderr.write(`${printable(line)}\n`))
    },
    progress: (what, total) => progress(what, total, { quiet }),
  }
}

/** A reporter as a callback of library functions: what they work on next has a bar of its own. */
export function follow(reporter: Reporter): { onProgress: OnProgress, stop: () => void } {
  let shown = '', bar: Progress | null = null
  const stop = () => {
    bar?.stop()
    bar = null
    shown = ''
  }
  return {
    onProgress(what, done, total, note) {
      if (what !== shown) {
        stop()
        bar = reporter.progress(what, total)
        shown = what
      }
      bar!.update(done, note)
      if (done >= total) stop()
    },
    stop,
  }
}

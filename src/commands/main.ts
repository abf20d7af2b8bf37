// The command line: picks the command, prints its answer, and turns every error into one sentence and an exit code
// (0 done, 1 failed, 2 bad usage or input, 3 the adapter that was named is not here).
import { Command, CommanderError, Help } from 'commander'
import { bench } from './bench.ts'
import { checkKernel } from './check-kernel.ts'
import { addCommonOptions, reporterFor } from './command.ts'
import type { CommandSpec, CommonOptions } from './command.ts'
import { demo } from './demo.ts'
import { doctor } from './doctor/doctor.ts'
import { evalCommand } from './eval.ts'
import { explain as explainCommand } from './explain.ts'
import { exportCommand } from './export.ts'
import { importCommand } from './import.ts'
import { inspect } from './inspect.ts'
import { endBars } from './progress.ts'
import { prune } from './prune.ts'
import { pullCommand } from './pull.ts'
import { search } from './search.ts'
import { sweep } from './sweep.ts'
import { train } from './train.ts'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain, printable, printableJson } from '../base/quote.ts'
import { distance } from '../base/options.ts'
import { packageVersion } from '../files/package.ts'

const commands = [
  doctor,
  inspect,
  evalCommand,
  explainCommand,
  prune,
  sweep,
  search,
  train,
  pullCommand,
  exportCommand,
  importCommand,
  bench,
  demo,
  checkKernel,
] as CommandSpec[]

/** Most characters of a message. */
const LONGEST = 1500

/** Runs the command that the arguments name, prints its answer, and returns the exit code. */
export async function main(args: string[]): Promise<number> {
  const json = args.includes('--json')
  let exitCode = 0
  const program = new Command('espalier')
    .description('Runs, explains and prunes vision networks on WebGPU.')
    .version(packageVersion())
    .exitOverride()
    .configureHelp({
      optionDescription(option) {
        return `${option.mandatory ? '(required) ' : ''}${Help.prototype.optionDescription.call(this, option)}`
      },
    })
    .configureOutput({ writeErr: () => {}, outputError: () => {} }) // said below, as one sentence
  for (const spec of commands) {
    const command = program.command(spec.name).description(spec.summary).allowExcessArguments(false)
    spec.declare(command)
    command.addHelpText('after', `\nExample:\n  ${spec.example}`)
    addCommonOptions(command).action(async () => {
      const options = command.opts<CommonOptions>()
      const answer = await spec.run({ ...options, args: command.args }, reporterFor(options))
      process.stdout.write(`${options.json ? printableJson(answer.json) : printable(answer.text)}\n`)
      exitCode = answer.exitCode ?? 0
    })
  }
  try {
    if (!args.length) {
      throw new InputError(
        `espalier: expected a command (${
          commands.map(({ name }) => name).join(', ')
        }), found none; see 'espalier --help'`,
      )
    }
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0 // --help, --version
    endBars()
    const { message: said, code } = explain(error, args, program)
    // Whatever a message repeats of files and flags, it stays one line that no terminal obeys; a stack has its lines.
    const message = process.env.ESPALIER_DEBUG ? printable(said) : plain(said, LONGEST)
    process.stderr.write(`${message}\n`)
    if (json) process.stdout.write(`${printableJson({ error: message, exitCode: code })}\n`)
    return code
  }
}

function explain(error: unknown, args: readonly string[], program: Command): { message: string, code: number } {
  if (error instanceof CommanderError) {
    const command = program.commands.find((each) => each.name() === args[0])
    // A flag that was meant to be the required one says more than that the required one is missing.
    const typo = command && error.code === 'commander.missingMandatoryOptionValue'
      ? unknownFlag(command, args.slice(1))
      : undefined
    const said = typo ?? error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ').replace(/\.$/, '')
    return { message: `espalier: ${said}; see 'espalier ${command ? `${command.name()} ` : ''}--help'`, code: 2 }
  }
  if (error instanceof EspalierError) return { message: error.message, code: error.exitCode }
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  if (error instanceof RangeError && /addresses|allocat|out of memory/i.test(message) && !process.env.ESPALIER_DEBUG) {
    return { message: `espalier: this process gets no more memory: ${message}; free some, or allow it more`, code: 1 }
  }
  return {
    message: process.env.ESPALIER_DEBUG
      ? String(stack)
      : `espalier: unexpected failure: ${message} (ESPALIER_DEBUG=1 shows where)`,
    code: 1,
  }
}

/** The first flag a command does not know, in commander's words, with the nearest one it knows. */
function unknownFlag(command: Command, args: string[]): string | undefined {
  const unknown = command.parseOptions(args).unknown.find((word) => word.startsWith('-'))
  if (!unknown) return undefined
  const flag = unknown.replace(/=.*/, '')
  const near = command.options.flatMap(({ long }) => long ? [long] : [])
    .map((long) => ({ long, changes: distance(flag, long) })).sort((a, b) => a.changes - b.changes)[0]
  return `unknown option '${flag}'${near && near.changes <= 2 ? ` (Did you mean ${near.long}?)` : ''}`
}

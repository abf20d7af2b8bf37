#!/usr/bin/env node
// The command line: picks the command, prints its answer, and turns every error into one sentence and an exit code
// (0 done, 1 failed, 2 bad usage or input, 3 the adapter that was named is not here).
import { Command, CommanderError } from 'commander'
import { bench } from './commands/bench.ts'
import { checkKernel } from './commands/check-kernel.ts'
import { addCommonOptions, reporterFor } from './commands/command.ts'
import type { CommandSpec, CommonOptions } from './commands/command.ts'
import { demo } from './commands/demo.ts'
import { doctor } from './commands/doctor/doctor.ts'
import { evalCommand } from './commands/eval.ts'
import { explain as explainCommand } from './commands/explain.ts'
import { inspect } from './commands/inspect.ts'
import { prune } from './commands/prune.ts'
import { pullCommand } from './commands/pull.ts'
import { search } from './commands/search.ts'
import { sweep } from './commands/sweep.ts'
import { train } from './commands/train.ts'
import { EspalierError, InputError } from './base/errors.ts'
import { distance } from './base/options.ts'
import { packageVersion } from './files/package.ts'

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
  bench,
  demo,
  checkKernel,
] as CommandSpec[]

async function main(args: string[]): Promise<number> {
  const json = args.includes('--json')
  let exitCode = 0
  const program = new Command('espalier')
    .description('Runs, explains and prunes vision networks on WebGPU.')
    .version(packageVersion())
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} }) // said below, as one sentence
  for (const spec of commands) {
    const command = program.command(spec.name).description(spec.summary).allowExcessArguments(false)
    spec.declare(command)
    addCommonOptions(command).action(async () => {
      const options = command.opts<CommonOptions>()
      const answer = await spec.run({ ...options, args: command.args }, reporterFor(options))
      process.stdout.write(options.json ? `${JSON.stringify(answer.json)}\n` : `${answer.text}\n`)
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
    const { message, code } = explain(error, args, program)
    process.stderr.write(`${message}\n`)
    if (json) process.stdout.write(`${JSON.stringify({ error: message, exitCode: code })}\n`)
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

// `espalier … | head` closes the pipe early; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  process.stderr.write(`espalier: its answer cannot be written (${error.code ?? error.message}); is the device full?\n`)
  process.exit(1)
})
process.stderr.on('error', () => {}) // nobody listens: the work goes on

process.exitCode = await main(process.argv.slice(2))

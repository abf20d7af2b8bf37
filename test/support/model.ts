// What tests of commands share: running one in this process, and the digits that ship with the package.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll } from 'vitest'
import type { Answer, CommandSpec, CommonOptions } from '../../src/commands/command.ts'
import { addCommonOptions } from '../../src/commands/command.ts'

const folder = 'models/data/digits'

/** The packaged digits from one to another, both included. */
export const digits = (first: number, last: number): string =>
  `idx:${folder}/images-idx3-ubyte.gz,${folder}/labels-idx1-ubyte.gz#${first}-${last}`

/** A folder that is removed after the tests of a file. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'espalier-command-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Runs a command in this process, as cli.ts does; `said` collects what it says on the way. */
export async function run<O extends CommonOptions>(
  spec: CommandSpec<O>,
  args: string[],
  said: string[] = [],
): Promise<Answer> {
  const command = new Command(spec.name).exitOverride().configureOutput({ writeErr() {}, outputError() {} })
  spec.declare(command)
  addCommonOptions(command).parse(args, { from: 'user' })
  return spec.run({ ...command.opts<O>(), args: command.args }, {
    say: (line) => {
      said.push(line)
    },
    progress: () => ({ update() {}, stop() {} }),
  })
}

// Slurm's commands for a test, without Slurm: a folder for the PATH, and what was called.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Makes the commands in a folder. `env` is for processes that shall find them, `calls` what was called by words. */
export function fakeSlurm(folder: string): { env: Record<string, string>, calls: (name?: string) => string[][] } {
  const bin = join(folder, 'bin'), state = join(folder, 'state')
  mkdirSync(bin, { recursive: true })
  const program = fileURLToPath(new URL('fake-slurm.mjs', import.meta.url))
  for (const name of ['sbatch', 'squeue', 'scancel', 'scontrol']) {
    // A copy, since the name it is called by says what it is.
    writeFileSync(join(bin, name), `#!/usr/bin/env node\n${readFileSync(program, 'utf8')}`)
    chmodSync(join(bin, name), 0o755)
  }
  writeFileSync(join(bin, 'package.json'), '{"type":"module"}')
  const file = join(state, 'calls.jsonl')
  return {
    env: { PATH: `${bin}:${dirname(process.execPath)}:/usr/bin:/bin`, FAKE_SLURM: state },
    calls: (name) =>
      (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [])
        .map((line) => JSON.parse(line) as string[]).filter((words) => name === undefined || words[0] === name),
  }
}

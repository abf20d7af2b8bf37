// Runs the command line as a process of its own, from a bundle made of the sources as they are, so no build is needed.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What a process printed and how it ended. */
export interface Ended {
  stdout: string
  stderr: string
  code: number | null
  signal: NodeJS.Signals | null
}

/**
 * Bundles a TypeScript file for Node into .espalier/test, where packages resolve as in the project. `split` leaves what
 * is imported late in files of its own, as in the package: a start that fails is then the starter's to tell.
 */
export async function bundleForNode(entry: string, name: string, split = false): Promise<string> {
  const outdir = `${root}.espalier/test${split ? `/${name}-${process.pid}` : ''}`
  if (split) process.on('exit', () => rmSync(outdir, { recursive: true, force: true })) // one of each run's own
  await build({
    absWorkingDir: root,
    entryPoints: [{ in: entry, out: name }],
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: split,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  })
  return `${outdir}/${name}.mjs`
}

/** Runs a bundle with arguments and no stdin; `env` is added to the environment, `flags` are Node's own. */
export function runNode(
  file: string,
  args: string[],
  env: Record<string, string> = {},
  flags: string[] = [],
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, file, ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = '', stderr = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ stdout, stderr, code, signal }))
  })
}

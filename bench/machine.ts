// The facts about a machine that stand beside every figure.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { packageFile } from '../src/files/package.ts'
import type { MachineFacts } from './schema.ts'

/** The processor's name, for the head of the report. */
export const cpuName = (): string => cpus()[0]?.model.trim() ?? 'unknown CPU'

/** Processor, cores, Node, platform and commit. */
export function machineFacts(): MachineFacts {
  return {
    cpu: cpuName(),
    cores: availableParallelism(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    commit: commitOf(packageFile('.')),
  }
}

/** Asks git only in a checkout: an installed package may lie inside somebody else's, but may say where it is from. */
function commitOf(folder: string): string | null {
  if (!existsSync(`${folder}/.git`)) {
    const { gitHead } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { gitHead?: unknown }
    return typeof gitHead === 'string' ? gitHead : null
  }
  const git = (...args: string[]) => spawnSync('git', ['-C', folder, ...args], { encoding: 'utf8', timeout: 10_000 })
  const head = git('rev-parse', '--short', 'HEAD')
  if (head.status !== 0) return null
  const changed = git('status', '--porcelain', '--untracked-files=no')
  return head.stdout.trim() + (changed.stdout?.trim() ? '+' : '')
}

// What tests of learned methods on the command line share: a trained network, a process that is stopped in a stage, and
// the run that goes on after it.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { expect } from 'vitest'
import { train } from '../../src/commands/train.ts'
import { runNode } from './cli.ts'
import { digits, run } from './model.ts'

/** What such a run says. */
export interface LearnedRun {
  before: { macs: number, params: number }
  after: { top1: number, macs: number, params: number }
  stages: { name: string, losses: number[], curves: Record<string, number[]> }[]
  units: { name: string, size: number, kept: number }[]
  scores: string
}

/** Trains a network of this architecture on 300 digits into a file. */
export const trainOnDigits = (architecture: object, out: string): Promise<unknown> =>
  run(train, [
    JSON.stringify(architecture),
    '--data',
    digits(0, 299),
    '--start',
    'mimetic',
    '--epochs',
    '3',
    '--rate',
    '3e-3',
    '--out',
    out,
    '--adapter',
    'cpu',
  ])

/** When a process is stopped: as soon as this stage has a state, or when it says this. */
export interface StopWhen {
  stage?: string
  says?: string
  signal?: 'SIGINT' | 'SIGKILL'
  /** On a busy machine a run may be over before this process gets its turn; it is then begun again so often. */
  attempts?: number
}

/** Runs a command that writes `out` in a process of its own and stops it before it is done. */
export async function stopped(
  cli: string,
  args: readonly string[],
  out: string,
  { stage, says, signal = 'SIGKILL', attempts = 1 }: StopWhen,
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
    const ended = new Promise<void>((resolve) => child.on('close', () => resolve()))
    child.stderr.on('data', (said: Buffer) => {
      if (says !== undefined && said.toString().includes(says)) child.kill(signal)
    })
    const watch = setInterval(() => {
      if (stage !== undefined && existsSync(`${out}.state/${stage}.state`)) child.kill(signal)
    }, 5)
    await ended
    clearInterval(watch)
    if (attempt === attempts) expect(existsSync(out), `stopped in ${stage ?? says}`).toBe(false)
    if (!existsSync(out)) return
    rmSync(out)
  }
}

/** Goes on to what a run in one go said and leaves nothing beside the file, which evaluates to it elsewhere too. */
export async function goesOn(cli: string, args: readonly string[], out: string, whole: LearnedRun): Promise<void> {
  const { stdout, stderr, code } = await runNode(cli, [...args])
  expect(code, stderr).toBe(0)
  const resumed = JSON.parse(stdout) as LearnedRun
  expect(resumed.stages).toEqual(whole.stages)
  expect(resumed.scores).toBe(whole.scores)
  expect(resumed.units).toEqual(whole.units)
  expect(resumed.after.top1).toBe(whole.after.top1)
  expect(readdirSync(dirname(out))).toEqual([basename(out)])
  const evaluated = await runNode(cli, ['eval', out, '--data', digits(1900, 1999), '--json', '--adapter', 'cpu'])
  expect(JSON.parse(evaluated.stdout)).toMatchObject({ top1: whole.after.top1, macs: whole.after.macs })
}

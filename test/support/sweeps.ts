// What tests of sweeps on Slurm share: a network small enough, and a sweep without what differs from run to run.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { train } from '../../src/commands/train.ts'
import { run } from './model.ts'

const cifar = 'models/data/cifar10'

/**
 * Words of a small sweep, without `--out`: curves of magnitude and of random by seeds. The network knows its images by
 * heart, so that few curves end early.
 */
export async function smallSweep(folder: string, seeds = 2, rates = '0,0.05,0.1,0.15'): Promise<string[]> {
  mkdirSync(folder, { recursive: true })
  const network = join(folder, 'net.safetensors')
  await run(train, [
    '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":8,"classes":10}',
    '--data',
    `cifar10:${cifar}/train100.bin#0-9`,
    '--epochs',
    '15',
    '--rate',
    '0.01',
    '--batch',
    '5',
    '--out',
    network,
    '--adapter',
    'cpu',
  ])
  return [
    network,
    '--test',
    `cifar10:${cifar}/train100.bin#0-9`,
    '--methods',
    'magnitude,random',
    '--rates',
    rates,
    '--minimum',
    '1',
    '--seeds',
    String(seeds),
    '--adapter',
    'cpu',
    '--threads',
    '1',
  ]
}

/** A sweep's JSON. */
export interface SweepJson {
  adapter: string
  curves: { method: string, adapter?: string, points: object[] }[]
  results: {
    method: string,
    seed: number,
    rate: number,
    node: string,
    adapter: string,
    versions: Record<string, string>,
    after: Record<string, unknown>,
  }[]
}

/** Everything but times and the name of the machine. */
export const timeless = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, each: unknown) =>
      /^(msPerImage(Mad)?|imagesPerSecond|timeShare(Low|High)?|node)$/.test(key) ? undefined : each),
  )

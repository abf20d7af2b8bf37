// One part of `gpu-check` in a process of its own: does it and writes what it found as JSON. Arguments: a PartTask as
// JSON, then the file to write.
import { writeOutput } from '../../src/files/output.ts'
import { close, init, type InitOptions } from '../../src/gpu/device.ts'
import { nothing, progressLines } from './progress.ts'
import { machineFacts } from '../machine.ts'
import { peerNames } from '../peers.ts'
import { runBench, type BenchOptions } from '../run.ts'
import { packageVersion } from '../../src/files/package.ts'
import { patternOf } from '../../src/sparse/registry.ts'
import { networkRows } from './networks.ts'
import type { PartTask } from './parts.ts'
import { requireInstalled } from '../rivals/peer.ts'

const [, , text, out] = process.argv
const task = JSON.parse(text) as PartTask
const found = await run(task)
writeOutput(out, `${JSON.stringify(found, null, 1)}\n`)
// Drivers and peers may keep threads; what was found is on the disk.
process.exit(0)

function run({ name, adapter, small, threads, seconds }: PartTask): Promise<unknown> {
  const until = performance.now() + 1000 * seconds, onProgress = progressLines(name)
  const where: InitOptions = { adapter, threads }
  const suite = (options: Omit<BenchOptions, 'adapter' | 'threads'>) =>
    runBench({
      ...where,
      rounds: small ? 2 : 7,
      msPerRound: small ? 1 : 25,
      until,
      onProgress,
      ...options,
      ...small && { batches: [1], fixedVariants: true },
    })
  const [kind, which] = name.split(/-(.*)/)
  switch (kind) {
    case 'device':
      return device(where)
    case 'kernels':
      return suite({
        suite: 'kernels',
        profile: 'both',
        only: small ? [which === 'vit' ? 'vit-t proj' : 'resnet50 7 reduce'] : [which],
      })
    case 'patterns': {
      const ops = which === 'forward' ? ['forward'] : ['dx', 'dw'], layer = small ? 'vit-t proj' : 'vit-b proj'
      return suite({
        suite: 'patterns',
        profile: 'browser',
        batches: [8],
        only: ops.map((op) => `${layer} b${small ? 1 : 8} ${op}`),
        ...small && { patterns: [patternOf('block:16x16')], densities: [0.25] },
      })
    }
    case 'deit':
      return networks(`deit-${which}`, task, until, where)
    case 'peers': {
      const installed = peerNames.filter((peer) => peer === 'tfjs' || peer === 'jax-js' || peer === 'ort').filter(here)
      if (!installed.length) return Promise.resolve({ notes: ['no peer is installed: npm run peers, in a checkout'] })
      return suite({
        suite: 'kernels',
        against: installed,
        only: small ? ['matmul'] : ['matmul', 'attention'],
        profile: 'browser',
      })
    }
    default:
      return suite({ suite: 'variants', profile: 'browser', only: small ? ['linear one row'] : ['matmul', 'linear'] })
  }
}

function here(peer: string): boolean {
  try {
    requireInstalled(peer)
    return true
  } catch {
    return false
  }
}

/** Everything that the adapter says of itself. */
async function device(where: InitOptions) {
  const { adapter, limits, features, device } = await init(where), { adapterInfo } = device
  const all: Record<string, number> = {}
  for (const key in limits) {
    const value = limits[key as keyof GPUSupportedLimits]
    if (typeof value === 'number') all[key] = value
  }
  const { vendor, architecture, description, subgroupMinSize, subgroupMaxSize } = adapterInfo
  const info = { vendor, architecture, device: adapterInfo.device, description, subgroupMinSize, subgroupMaxSize }
  await close()
  return { adapter, info, features: [...features].sort(), limits: all, machine: machineFacts() }
}

async function networks(name: string, { small }: PartTask, until: number, where: InitOptions) {
  const { rows, tuning, notes, adapter, kind } = await networkRows({
    name,
    where,
    image: small ? 32 : 224,
    batches: small ? [2] : name === 'deit-base' ? [1, 8] : [1, 8, 64],
    training: name === 'deit-tiny',
    rounds: small ? 2 : 7,
    msPerRound: small ? 1 : 25,
    until,
    onProgress: nothing,
  })
  return {
    suite: 'models',
    adapter,
    kind,
    profile: 'browser',
    versions: { espalier: packageVersion(), node: process.versions.node },
    machine: machineFacts(),
    date: new Date().toISOString(),
    rows,
    rooflines: {},
    breakEven: [],
    tuning,
    notes,
  }
}

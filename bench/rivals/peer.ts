// What the peers have in common: the work they know, how one is called, and where it is found. They live in bench/peers
// with a package.json of their own; `npm run peers` installs them.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { InputError } from '../../src/base/errors.ts'
import { packageFile } from '../../src/files/package.ts'

/**
 * A computation that peers know: a product [M, K] x [K, N], softmax(scale q k^T) v over [B, H, N, D] with plain ops, or
 * a convolution of [n, c, side, side] with [o, c, kernel, kernel].
 */
export type Work =
  | { kind: 'matmul', M: number, K: number, N: number, a: Float32Array, b: Float32Array }
  | {
    kind: 'attention',
    shape: readonly [B: number, H: number, N: number, D: number],
    scale: number,
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
  }
  | {
    kind: 'conv2d',
    shape: readonly number[],
    weights: readonly number[],
    out: readonly number[],
    stride: number,
    padding: number,
    x: Float32Array,
    w: Float32Array,
  }

/** What a peer makes of some work: computes once and reads the result back; `free` gives back what it holds. */
export interface Prepared {
  run(): Promise<Float32Array>
  /** Brings a result into our order, if it comes in another. */
  inOrder?(values: ArrayLike<number>): ArrayLike<number>
  free?(): void
}

/** A peer that is loaded. `prepare` uploads inputs; null where the peer has no such op. */
export interface Peer {
  name: PeerName
  version: string
  /** Whether it computes on the adapter, or on the cores whatever the adapter is. */
  device: 'webgpu' | 'cores'
  /** Said in its rows. */
  note?: string
  prepare(work: Work): Promise<Prepared | null>
}

/** The names that `--against` takes. */
export const peerNames = ['tfjs', 'jax-js', 'ort', 'ort-web', 'tfjs-wasm'] as const

/** One of `peerNames`. */
export type PeerName = typeof peerNames[number]

const folders: Readonly<Record<string, string>> = {
  'tfjs': '@tensorflow/tfjs-backend-webgpu',
  'tfjs-wasm': '@tensorflow/tfjs-backend-wasm',
  'jax-js': '@jax-js/jax',
  'ort-web': 'onnxruntime-web',
}

/** @throws InputError where `npm run peers` did not install this peer, or did so before it was one. */
export function requireInstalled(name: string): void {
  if (!existsSync(packageFile(`bench/peers/node_modules/${folders[name] ?? 'onnxruntime-node'}`))) {
    throw new InputError(`${name}: the peers are not installed; run 'npm run peers' in a checkout of the repository`)
  }
}

/** `require` as a file of bench/peers has it. */
export const requirePeer = (): NodeJS.Require => createRequire(packageFile('bench/peers/package.json'))

/** The version of a package in bench/peers. */
export const peerVersion = (name: string): string =>
  JSON.parse(readFileSync(packageFile(`bench/peers/node_modules/${name}/package.json`), 'utf8')).version

// Kept referenced: dawn aborts when its instance is collected.
let standIn: GPU | null = null

/** Browser libraries look for `navigator.gpu` when they are imported. */
export async function provideNavigator(): Promise<void> {
  if (standIn) return
  process.env.XDG_RUNTIME_DIR ??= '/tmp'
  const { create, globals } = await import('webgpu')
  Object.assign(globalThis, globals)
  standIn = create([])
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu: standIn, userAgent: 'node', platform: process.platform },
    configurable: true,
  })
}

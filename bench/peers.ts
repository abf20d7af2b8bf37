// Other runtimes on the same adapter, in the same process, timed the same way: inputs stay on the device, one result is
// read back per run. They live in bench/peers with a package.json of their own; `npm run peers` installs them.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { InputError } from '../src/base/errors.ts'
import { packageFile } from '../src/files/package.ts'
import { onnxModel, type OnnxNode } from './onnx.ts'

/**
 * A computation every peer knows: a product [M, K] x [K, N], or softmax(scale q k^T) v over [B, H, N, D] with plain
 * ops.
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

/** A peer that is loaded. `prepare` uploads inputs and returns what computes once and reads the result back. */
export interface Peer {
  name: PeerName
  version: string
  prepare(work: Work): Promise<() => Promise<Float32Array>>
}

/** The names that `--against` takes. */
export const peerNames = ['tfjs', 'jax-js', 'ort'] as const

/** One of `peerNames`. */
export type PeerName = typeof peerNames[number]

/**
 * Loads a peer and opens it on dawn.
 * @throws InputError if it is not installed.
 */
export async function loadPeer(name: PeerName): Promise<Peer> {
  requireInstalled(name)
  return { tfjs: loadTfjs, 'jax-js': loadJax, ort: () => loadOrt() }[name]()
}

function requireInstalled(name: string) {
  if (!existsSync(packageFile('bench/peers/node_modules'))) {
    throw new InputError(`--against ${name}: the peers are not installed; run 'npm run peers' in the repository`)
  }
}

const root = () => createRequire(packageFile('bench/peers/package.json'))
const version = (name: string): string =>
  JSON.parse(readFileSync(packageFile(`bench/peers/node_modules/${name}/package.json`), 'utf8')).version

// Kept referenced: dawn aborts when its instance is collected.
let standIn: GPU | null = null

/** Browser libraries look for `navigator.gpu` when they are imported. */
async function provideNavigator() {
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

// ---- TensorFlow.js ----------------------------------------------------------------------------------------------

interface TfTensor {
  data(): Promise<Float32Array>
  dispose(): void
}
interface Tf {
  setBackend(name: string): Promise<boolean>
  ready(): Promise<void>
  getBackend(): string
  tensor(values: Float32Array, shape: readonly number[]): TfTensor
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor
  mul(a: TfTensor, b: number): TfTensor
  softmax(x: TfTensor, axis: number): TfTensor
  tidy(work: () => TfTensor): TfTensor
}

async function loadTfjs(): Promise<Peer> {
  await provideNavigator()
  const require = root()
  const tf = require('@tensorflow/tfjs-core') as Tf
  require('@tensorflow/tfjs-backend-webgpu')
  await tf.setBackend('webgpu')
  await tf.ready()
  if (tf.getBackend() !== 'webgpu') {
    throw new InputError(`--against tfjs: it chose the backend '${tf.getBackend()}' instead of webgpu`)
  }
  return {
    name: 'tfjs',
    version: version('@tensorflow/tfjs-backend-webgpu'),
    prepare(work) {
      let run: () => TfTensor
      if (work.kind === 'matmul') {
        const a = tf.tensor(work.a, [work.M, work.K]), b = tf.tensor(work.b, [work.K, work.N])
        run = () => tf.matMul(a, b)
      } else {
        const [q, k, v] = [work.q, work.k, work.v].map((values) => tf.tensor(values, work.shape))
        run = () => tf.tidy(() => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), work.scale), -1), v))
      }
      return Promise.resolve(async () => {
        const out = run()
        const values = await out.data()
        out.dispose()
        return values
      })
    },
  }
}

// ---- jax-js -----------------------------------------------------------------------------------------------------

interface JaxArray {
  readonly ref: JaxArray
  data(): Promise<Float32Array>
  mul(by: number): JaxArray
}
interface Jax {
  init(device: string): Promise<string[]>
  defaultDevice(device: string): void
  jit<F>(f: F): F
  numpy: {
    array(values: Float32Array, options: { shape: readonly number[] }): JaxArray,
    matmul(a: JaxArray, b: JaxArray): JaxArray,
    swapaxes(x: JaxArray, a: number, b: number): JaxArray,
  }
  nn: { softmax(x: JaxArray, axis: number): JaxArray }
}

async function loadJax(): Promise<Peer> {
  await provideNavigator()
  const jax = await import(pathToFileURL(packageFile('bench/peers/node_modules/@jax-js/jax/dist/index.js')).href) as Jax
  if (!(await jax.init('webgpu')).includes('webgpu')) {
    throw new InputError('--against jax-js: it finds no webgpu device')
  }
  jax.defaultDevice('webgpu')
  const { numpy: np, nn } = jax
  return {
    name: 'jax-js',
    version: version('@jax-js/jax'),
    prepare(work) {
      if (work.kind === 'matmul') {
        const a = np.array(work.a, { shape: [work.M, work.K] }), b = np.array(work.b, { shape: [work.K, work.N] })
        const f = jax.jit((a: JaxArray, b: JaxArray) => np.matmul(a, b)) // compiled: its fast way
        return Promise.resolve(() => f(a.ref, b.ref).data())
      }
      const [q, k, v] = [work.q, work.k, work.v].map((values) => np.array(values, { shape: work.shape }))
      const f = jax.jit((q: JaxArray, k: JaxArray, v: JaxArray) =>
        np.matmul(nn.softmax(np.matmul(q, np.swapaxes(k, -1, -2)).mul(work.scale), -1), v)
      )
      return Promise.resolve(() => f(q.ref, k.ref, v.ref).data())
    },
  }
}

// ---- ONNX Runtime -----------------------------------------------------------------------------------------------

interface OrtSession {
  run(feeds: object): Promise<Record<string, { data: Float32Array }>>
}
interface Ort {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> }
}

/**
 * ONNX Runtime on its CPU provider, which computes on the cores themselves. @throws InputError if the peers are not
 * installed.
 */
export async function loadOrtCpu(threads: number): Promise<Pick<Peer, 'version' | 'prepare'>> {
  requireInstalled('ort-cpu')
  return loadOrt({ executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1 })
}

// Without the fall-back, so that a missing webgpu provider fails rather than times the CPU.
const onWebGpu = { executionProviders: ['webgpu'], extra: { session: { disable_cpu_ep_fallback: '1' } } }

function loadOrt(provider: object = onWebGpu): Promise<Peer> {
  const ort = root()('onnxruntime-node') as Ort
  // Inputs are constants of the model, so nothing is uploaded per run; without folding, which would leave nothing to
  // compute.
  const session = async (nodes: OnnxNode[], tensors: Parameters<typeof onnxModel>[1], shape: readonly number[]) => {
    const made = await ort.InferenceSession.create(onnxModel(nodes, tensors, { name: 'out', shape }), {
      ...provider,
      graphOptimizationLevel: 'disabled',
      logSeverityLevel: 3,
    })
    return async () => (await made.run({})).out.data
  }
  return Promise.resolve({
    name: 'ort',
    version: version('onnxruntime-node'),
    prepare(work) {
      if (work.kind === 'matmul') {
        const { M, K, N, a, b } = work
        return session([{ type: 'MatMul', inputs: ['a', 'b'], output: 'out' }], [
          { name: 'a', shape: [M, K], data: a },
          { name: 'b', shape: [K, N], data: b },
        ], [M, N])
      }
      const { shape, q, k, v, scale } = work
      return session([
        { type: 'Transpose', inputs: ['k'], output: 'kt', attributes: { perm: [0, 1, 3, 2] } },
        { type: 'MatMul', inputs: ['q', 'kt'], output: 'scores' },
        { type: 'Mul', inputs: ['scores', 'scale'], output: 'scaled' },
        { type: 'Softmax', inputs: ['scaled'], output: 'shares', attributes: { axis: -1 } },
        { type: 'MatMul', inputs: ['shares', 'v'], output: 'out' },
      ], [{ name: 'q', shape, data: q }, { name: 'k', shape, data: k }, { name: 'v', shape, data: v }, {
        name: 'scale',
        shape: [],
        data: Float32Array.of(scale),
      }], shape)
    },
  })
}

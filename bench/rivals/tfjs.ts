// TensorFlow.js, on its backend for WebGPU or on the one in WASM.
import { InputError } from '../../src/base/errors.ts'
import { packageFile } from '../../src/files/package.ts'
import { type Peer, peerVersion, type Prepared, provideNavigator, requirePeer, type Work } from './peer.ts'

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
  transpose(x: TfTensor, axes: readonly number[]): TfTensor
  conv2d(x: TfTensor, w: TfTensor, stride: number, padding: 'valid' | readonly (readonly number[])[]): TfTensor
  tidy(work: () => TfTensor): TfTensor
}

/** Opens one of its backends; both can be open at once. */
export async function loadTfjs(name: 'tfjs' | 'tfjs-wasm'): Promise<Peer> {
  const backend = name === 'tfjs' ? 'webgpu' : 'wasm', pack = `@tensorflow/tfjs-backend-${backend}`
  if (name === 'tfjs') await provideNavigator()
  const require = requirePeer()
  const tf = require('@tensorflow/tfjs-core') as Tf, loaded = require(pack) as { setWasmPaths?(folder: string): void }
  loaded.setWasmPaths?.(packageFile(`bench/peers/node_modules/${pack}/dist/`))
  const activate = async () => {
    if (tf.getBackend() !== backend) await tf.setBackend(backend)
    await tf.ready()
  }
  await activate()
  if (tf.getBackend() !== backend) {
    throw new InputError(`--against ${name}: it chose the backend '${tf.getBackend()}' instead of ${backend}`)
  }
  return {
    name,
    version: peerVersion(pack),
    device: name === 'tfjs' ? 'webgpu' : 'cores',
    note: name === 'tfjs' ? undefined : 'WASM SIMD, one thread: in Node it has no more',
    async prepare(work) {
      await activate()
      const { inputs, compute, inOrder } = program(tf, work)
      return {
        inOrder,
        async run() {
          await activate()
          const out = compute(), values = await out.data()
          out.dispose()
          return values
        },
        free: () => {
          for (const input of inputs) input.dispose()
        },
      }
    },
  }
}

interface Program {
  inputs: TfTensor[]
  compute: () => TfTensor
  inOrder?: Prepared['inOrder']
}

function program(tf: Tf, work: Work): Program {
  if (work.kind === 'matmul') {
    const a = tf.tensor(work.a, [work.M, work.K]), b = tf.tensor(work.b, [work.K, work.N])
    return { inputs: [a, b], compute: () => tf.matMul(a, b) }
  }
  if (work.kind === 'attention') {
    const [q, k, v] = [work.q, work.k, work.v].map((values) => tf.tensor(values, work.shape))
    return {
      inputs: [q, k, v],
      compute: () => tf.tidy(() => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), work.scale), -1), v)),
    }
  }
  // Channels last, on both backends: the only layout that they have.
  const { padding, stride, out: [batch, channels, height, width] } = work
  const x = tf.transpose(tf.tensor(work.x, work.shape), [0, 2, 3, 1])
  const w = tf.transpose(tf.tensor(work.w, work.weights), [2, 3, 1, 0])
  const pads = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
  return {
    inputs: [x, w],
    compute: () => tf.conv2d(x, w, stride, padding ? pads : 'valid'),
    inOrder: (values) => {
      const swapped = new Float32Array(values.length), area = height * width
      for (let n = 0; n < batch; n++) {
        for (let at = 0; at < area; at++) {
          for (let c = 0; c < channels; c++) {
            swapped[(n * channels + c) * area + at] = values[(n * area + at) * channels + c]
          }
        }
      }
      return swapped
    },
  }
}

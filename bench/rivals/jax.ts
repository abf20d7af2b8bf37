// jax-js on WebGPU, compiled, which is its fast way.
import { pathToFileURL } from 'node:url'
import { InputError } from '../../src/base/errors.ts'
import { packageFile } from '../../src/files/package.ts'
import { type Peer, peerVersion, provideNavigator } from './peer.ts'

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

/** Opens it on dawn. @throws InputError where it finds no device. */
export async function loadJax(): Promise<Peer> {
  await provideNavigator()
  const jax = await import(pathToFileURL(packageFile('bench/peers/node_modules/@jax-js/jax/dist/index.js')).href) as Jax
  if (!(await jax.init('webgpu')).includes('webgpu')) {
    throw new InputError('--against jax-js: it finds no webgpu device')
  }
  jax.defaultDevice('webgpu')
  const { numpy: np, nn } = jax
  return {
    name: 'jax-js',
    version: peerVersion('@jax-js/jax'),
    device: 'webgpu',
    prepare(work) {
      if (work.kind === 'matmul') {
        const a = np.array(work.a, { shape: [work.M, work.K] }), b = np.array(work.b, { shape: [work.K, work.N] })
        const f = jax.jit((a: JaxArray, b: JaxArray) => np.matmul(a, b))
        return Promise.resolve({ run: () => f(a.ref, b.ref).data() })
      }
      if (work.kind !== 'attention') return Promise.resolve(null)
      const [q, k, v] = [work.q, work.k, work.v].map((values) => np.array(values, { shape: work.shape }))
      const f = jax.jit((q: JaxArray, k: JaxArray, v: JaxArray) =>
        np.matmul(nn.softmax(np.matmul(q, np.swapaxes(k, -1, -2)).mul(work.scale), -1), v)
      )
      return Promise.resolve({ run: () => f(q.ref, k.ref, v.ref).data() })
    },
  }
}

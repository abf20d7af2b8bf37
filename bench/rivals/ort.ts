// ONNX Runtime: on WebGPU and on the cores from its package for Node, and as WASM from its package for pages.
import { encodeOnnx, type OnnxModel, type OnnxNode, type OnnxTensor } from '../../src/onnx/encode.ts'
import { type Peer, peerVersion, type Prepared, requirePeer, type Work } from './peer.ts'

/** A session of either package. */
export interface OrtSession {
  run(feeds: object): Promise<Record<string, { data: Float32Array }>>
  release?(): Promise<void>
}
/** What both packages offer of the same interface. */
export interface Ort {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> }
  Tensor: new(type: string, data: Float32Array, shape: readonly number[]) => object
  env: { wasm: { numThreads?: number } }
}

// Without the fall-back, so that a missing webgpu provider fails rather than times the CPU.
const onWebGpu = { executionProviders: ['webgpu'], extra: { session: { disable_cpu_ep_fallback: '1' } } }

/** The native package, on this provider. */
export function loadOrt(provider: object = onWebGpu): Promise<Peer> {
  const ort = requirePeer()('onnxruntime-node') as Ort
  return Promise.resolve({
    name: 'ort',
    version: peerVersion('onnxruntime-node'),
    device: provider === onWebGpu ? 'webgpu' : 'cores',
    prepare: (work) => prepare(ort, provider, work),
  })
}

/** The package for pages, whose WASM runs in Node as well. */
export function webOrt(threads: number): Ort {
  const ort = requirePeer()('onnxruntime-web') as Ort
  ort.env.wasm.numThreads = threads
  return ort
}

/** The options of a session of `webOrt`. */
export const onWasm = { executionProviders: ['wasm'], extra: {} }

/** ONNX Runtime as WASM with SIMD and so many threads. */
export function loadOrtWeb(threads: number): Promise<Peer> {
  const ort = webOrt(threads)
  return Promise.resolve({
    name: 'ort-web',
    version: peerVersion('onnxruntime-web'),
    device: 'cores',
    note: `WASM SIMD, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    prepare: (work) => prepare(ort, onWasm, work),
  })
}

// Inputs are constants of the model, so nothing is uploaded per run; without folding, which would leave nothing to
// compute.
async function prepare(ort: Ort, provider: object, work: Work): Promise<Prepared> {
  const session = await ort.InferenceSession.create(encodeOnnx(graph(work)), {
    ...provider,
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 3,
  })
  return {
    run: async () => (await session.run({})).out.data,
    free: () => {
      void session.release?.()
    },
  }
}

/** The work as a file whose inputs are part of it. */
function graph(work: Work): OnnxModel {
  const model = (nodes: OnnxNode[], tensors: OnnxTensor[], shape: readonly number[]): OnnxModel => ({
    nodes,
    tensors,
    inputs: [],
    output: { name: 'out', shape },
  })
  if (work.kind === 'matmul') {
    const { M, K, N, a, b } = work
    return model([{ type: 'MatMul', inputs: ['a', 'b'], outputs: ['out'] }], [
      { name: 'a', shape: [M, K], data: a },
      { name: 'b', shape: [K, N], data: b },
    ], [M, N])
  }
  if (work.kind === 'conv2d') {
    const { padding, stride } = work, pads = [padding, padding, padding, padding]
    return model(
      [{ type: 'Conv', inputs: ['x', 'w'], outputs: ['out'], attributes: { strides: [stride, stride], pads } }],
      [{ name: 'x', shape: work.shape, data: work.x }, { name: 'w', shape: work.weights, data: work.w }],
      work.out,
    )
  }
  const { shape, q, k, v, scale } = work
  return model(
    [
      { type: 'Transpose', inputs: ['k'], outputs: ['kt'], attributes: { perm: [0, 1, 3, 2] } },
      { type: 'MatMul', inputs: ['q', 'kt'], outputs: ['scores'] },
      { type: 'Mul', inputs: ['scores', 'scale'], outputs: ['scaled'] },
      { type: 'Softmax', inputs: ['scaled'], outputs: ['shares'], attributes: { axis: -1 } },
      { type: 'MatMul', inputs: ['shares', 'v'], outputs: ['out'] },
    ],
    [{ name: 'q', shape, data: q }, { name: 'k', shape, data: k }, { name: 'v', shape, data: v }, {
      name: 'scale',
      shape: [],
      data: Float32Array.of(scale),
    }],
    shape,
  )
}

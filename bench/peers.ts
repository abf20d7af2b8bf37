// Other runtimes in the same process, timed the same way: inputs stay on the device, one result is read back per run.
import { type Peer, type PeerName, requireInstalled } from './rivals/peer.ts'

export { type Peer, type PeerName, peerNames, type Work } from './rivals/peer.ts'

/** Whether any of these computes on a WebGPU adapter, so that ours has to be the same. */
export const needsWebGpu = (names: readonly PeerName[]): boolean =>
  names.some((name) => name !== 'ort-web' && name !== 'tfjs-wasm')

/**
 * Loads a peer: tfjs, jax-js and ort on dawn, ort-web and tfjs-wasm on the cores. `threads` is for those that can
 * choose.
 * @throws InputError if it is not installed.
 */
export async function loadPeer(name: PeerName, threads: number): Promise<Peer> {
  requireInstalled(name)
  switch (name) {
    case 'tfjs':
    case 'tfjs-wasm':
      return (await import('./rivals/tfjs.ts')).loadTfjs(name)
    case 'jax-js':
      return (await import('./rivals/jax.ts')).loadJax()
    case 'ort':
      return (await import('./rivals/ort.ts')).loadOrt()
    case 'ort-web':
      return (await import('./rivals/ort.ts')).loadOrtWeb(threads)
  }
}

/**
 * ONNX Runtime on its CPU provider, which computes on the cores themselves. @throws InputError if the peers are not
 * installed.
 */
export async function loadOrtCpu(threads: number): Promise<Pick<Peer, 'version' | 'prepare'>> {
  requireInstalled('ort-cpu')
  return (await import('./rivals/ort.ts')).loadOrt({
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  })
}

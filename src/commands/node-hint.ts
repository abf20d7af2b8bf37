// What a newer Node would bring on the embedded device, said once where times are told.

/**
 * A sentence where this Node's engine keeps vectors of 128 bits though the processor has wider ones; null where it
 * joins them, or where the adapter is a GPU. `architecture` is the adapter's (`wasm-simd` where vectors are not
 * joined).
 */
export function nodeHint(architecture: string): string | null {
  const [major] = process.versions.node.split('.').map(Number)
  if (architecture !== 'wasm-simd' || process.arch !== 'x64' || major >= 24) return null
  return `Node ${process.versions.node} computes on vectors of 128 bits; Node 24 or newer joins them in pairs on this `
    + 'processor, and DeiT-Tiny was measured 1.6 to 1.9 times as fast with it'
}

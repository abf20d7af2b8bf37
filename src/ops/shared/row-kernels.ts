// Kernels that reduce along rows: how many invocations share one, and whether they read vectors of four.
import { currentGpu } from '../../gpu/device.ts'
import { kernel, type Kernel, type KernelOptions } from '../../gpu/kernel.ts'

/** What kind of adapter computes; `gpu` while only shapes are traced. */
export function adapterKind(): 'gpu' | 'software' | 'embedded' | 'null' {
  return currentGpu()?.adapter.kind ?? 'gpu'
}

/**
 * Vectors of four columns that an invocation makes in tiles for the embedded device: as many sums as fit the machine's
 * registers, which hold twice as much where the engine joins neighbouring vectors.
 */
export function tileColumns(): 2 | 4 {
  return currentGpu()?.adapter.architecture === 'wasm-simd-256' ? 4 : 2
}

/**
 * Invocations per row: 1, 8 or 32. On a CPU a barrier and a strided read cost more than they bring, so each invocation
 * takes a row of its own as soon as there are rows enough for all threads. `width` counts what one read brings.
 */
export function threadsPerRow(rows: number, width: number): number {
  const kind = adapterKind()
  if (kind === 'software' || kind === 'embedded') return rows >= 256 ? 1 : 8
  return width >= 32 ? 32 : 8
}

/** A row kernel in two versions of one text: `alias V` is f32 in one and vec4f in the other. */
export interface RowKernels {
  scalar: Kernel
  vector: Kernel
}

const vectorText = {
  '/*V*/f32': 'vec4f',
  '/*total*/v': 'v.x + v.y + (v.z + v.w)',
  '/*largest*/v': 'max(max(v.x, v.y), max(v.z, v.w))',
}

/** Declares both versions; `horizontal` names the helpers of the text that add or compare the parts of a vector. */
export function rowKernels(
  file: string,
  options: KernelOptions,
  horizontal: ('total' | 'largest')[] = ['total'],
): RowKernels {
  const splice = { ...options.splice }
  for (const [marker, text] of Object.entries(vectorText)) {
    if (marker.startsWith('/*V*/') || horizontal.some((name) => marker.startsWith(`/*${name}*/`))) splice[marker] = text
  }
  const name = options.entry ? `${options.entry}, vec4` : 'vec4'
  return { scalar: kernel(file, options), vector: kernel(file, { ...options, splice, label: name }) }
}

/** The version for rows of `width` entries, with the width counted in what it reads. */
export function pickRowKernel({ scalar, vector }: RowKernels, width: number): { kernel: Kernel, width: number } {
  return width % 4 === 0 ? { kernel: vector, width: width / 4 } : { kernel: scalar, width }
}

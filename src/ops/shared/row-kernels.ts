// Kernels that reduce along rows: how many invocations share one, and whether they read vectors of four.
import { kernel, type Kernel, type KernelOptions } from '../../gpu/kernel.ts'
import { choose, type Variant, variants } from './variants.ts'

/** What the number of threads per row depends on; `width` counts what one read brings. */
interface Rows {
  rows: number
  width: number
}

/**
 * Invocations per row. On a CPU a barrier and a strided read cost more than they bring, so each invocation takes a row
 * of its own as soon as there are rows enough for all threads.
 */
export const rowVariants = variants<Rows, Variant<Rows> & { threads: number }>('rows', [
  {
    name: '1 thread a row',
    numeric: 'reordered',
    adapters: ['software', 'embedded'],
    fits: ({ rows }) => rows >= 256,
    threads: 1,
  },
  {
    name: '32 threads a row',
    numeric: 'reordered',
    adapters: ['gpu', 'null'],
    fits: ({ width }) => width >= 32,
    threads: 32,
  },
  { name: '8 threads a row', numeric: 'reordered', threads: 8 },
])

/** Invocations per row for rows of `width` reads. */
export function threadsPerRow(rows: number, width: number): number {
  return choose(rowVariants, { rows, width }).threads
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

/** Declares both versions of a text that includes shared/row-vector.wgsl. */
export function rowKernels(file: string, options: KernelOptions): RowKernels {
  const splice = { ...options.splice, ...vectorText }, name = options.entry ? `${options.entry}, vec4` : 'vec4'
  return { scalar: kernel(file, options), vector: kernel(file, { ...options, splice, label: name }) }
}

/** The version for rows of `width` entries, with the width counted in what it reads. */
export function pickRowKernel({ scalar, vector }: RowKernels, width: number): { kernel: Kernel, width: number } {
  return width % 4 === 0 ? { kernel: vector, width: width / 4 } : { kernel: scalar, width }
}

// Kernels that a pattern brings itself, in place of ours with its walk spliced in: declared, checked against what such
// a kernel has, and launched.
import { KernelError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { grid, launch } from '../core/launch.ts'
import type { Tensor } from '../core/tensor.ts'
import { type Kernel, kernelFromText } from '../gpu/kernel.ts'
import { reflect } from '../gpu/reflect.ts'
import { type Epilogue, switches } from '../ops/matmul/kernels.ts'
import type { Packing } from './packing.ts'
import type { KernelWork, Pattern, PatternKernel, PatternKernels } from './pattern.ts'
import { tilesOf } from './tiles.ts'

/** What is computed: x W^T, or its gradient to x or to the kept values. */
export type OwnPart = keyof PatternKernels

/** The buffers of each part by binding, besides the index arrays; those without a number stand in its WGSL. */
const buffersOf = {
  forward: { x: 0, values: 1 },
  input: { dy: 0, values: 1 },
  values: { dy: 0, x: 1 },
} as const

const known = new Map<string, Kernel>()

/**
 * The kernel of one part of a pattern. @throws KernelError, which names the pattern and the part, for WGSL that does
 * not parse, has no `main`, declares buffers of its own, or never calls `put`.
 */
export function ownKernel({ name, walk }: Pattern, part: OwnPart, { wgsl, vectors = [] }: PatternKernel): Kernel {
  const key = JSON.stringify([name, part, wgsl, vectors, walk.index])
  let found = known.get(key)
  if (!found) known.set(key, found = declared(name, walk.index, part, wgsl, vectors))
  return found
}

function declared(
  name: string,
  index: readonly string[],
  part: OwnPart,
  wgsl: string,
  vectors: readonly string[],
): Kernel {
  const what = `pattern ${name}, its kernel (${part})`,
    element = (buffer: string) => vectors.includes(buffer) ? 'vec4f' : 'f32'
  const buffers = [
    ...Object.entries(buffersOf[part]).map(([buffer, binding]) => [buffer, binding, element(buffer)] as const),
    ...index.map((buffer, i) => [buffer, 6 + i, 'u32'] as const),
  ]
  const splice: Record<string, string> = {
    '/*buffers*/': buffers.map(([buffer, binding, type]) =>
      `@group(0) @binding(${binding}) var<storage, read> ${buffer}: array<${type}>;`
    ).join('\n'),
    '/*element*/f32': element('out'),
    '/*size*/1u': element('out') === 'f32' ? '1u' : '4u',
  }
  if (part === 'forward') {
    splice['/*gelu*/gelu(vec4f(result)).x'] = element('out') === 'f32'
      ? 'gelu(vec4f(result)).x'
      : 'gelu(result)'
  }
  // Behind the pattern's text, so that its lines keep their numbers.
  const text = `${wgsl}\n// #include sparse/own/${part}.wgsl`
  const whole = kernelFromText(what, text, { buffers: [], splice })
  const { storage, uniform } = reflect(what, whole.source, 'main', (line) => whole.quote(line))
  const names = storage.map((slot) => slot.name)
  const allowed = [...buffers.map(([buffer]) => buffer), 'bias', 'residual', 'out']
  const odd = names.find((buffer) => !allowed.includes(buffer))
  if (odd !== undefined) {
    throw new KernelError(
      `${what}: it declares a buffer ${quoted(odd)}; it has ${
        buffers.map(([buffer]) => buffer).join(', ')
      }, and writes by put`,
    )
  }
  if (!storage.some((slot) => slot.name === 'out' && slot.write)) {
    throw new KernelError(
      `${what}: it never calls put(${part === 'values' ? 'place' : 'row, column'}, sum), so nothing is written`,
    )
  }
  const made = kernelFromText(what, text, {
    buffers: names,
    params: uniform?.fields.map((field) => field.name) ?? [],
    splice,
  })
  void made.reflection // assembled now: the next pattern of this name has another text
  return made
}

/** The size that has to be whole vectors of four for a buffer to be read or written as such. */
function sizeOfRows(part: OwnPart, buffer: string, { N, K, slots, tile }: KernelWork): number {
  if (buffer === 'x') return K
  if (buffer === 'dy') return N
  if (buffer === 'values' || part === 'values') return Math.max(1, slots) * tile[0] * tile[1]
  return part === 'forward' ? N : K
}

/** The pattern's own kernel for this work, or null if it brings none that fits. */
function fitting(pattern: Pattern, part: OwnPart, work: KernelWork): PatternKernel | null {
  const own = pattern.kernels?.[part]
  if (!own || own.fits?.(work) === false) return null
  return (own.vectors ?? []).every((buffer) => sizeOfRows(part, buffer, work) % 4 === 0) ? own : null
}

/**
 * Launches the pattern's own kernel of a part into `buffers.out`, if it brings one that fits.
 * @throws KernelError as `ownKernel` does, or for a number of workgroups that is none.
 */
export function launchOwn(
  part: OwnPart,
  { pattern, shape, tile, slots }: Pick<Packing, 'pattern' | 'shape' | 'tile' | 'slots'>,
  M: number,
  buffers: Readonly<Record<string, Tensor>>,
  epilogue: Epilogue = {},
): boolean {
  const [N, K] = shape, work = { M, N, K, slots, tile }, own = fitting(pattern, part, work)
  if (!own) return false
  const groups = own.workgroups(work), [tile_rows, tile_columns] = tilesOf(shape, tile)
  if (!Number.isInteger(groups) || groups < 1) {
    throw new KernelError(
      `pattern ${pattern.name}, its kernel (${part}): ${groups} workgroups for x [${M}, ${K}] and a weight of `
        + `[${shape}]; expected a whole number of at least 1`,
    )
  }
  const kernel = ownKernel(pattern, part, own),
    all: Record<string, Tensor> = {
      ...buffers,
      bias: epilogue.bias ?? Object.values(buffers)[0],
      residual: epilogue.residual ?? Object.values(buffers)[0],
    }
  launch(
    kernel,
    Object.fromEntries(kernel.buffers.map((name) => [name, all[name]])),
    { M, N, K, tile_rows, tile_columns, slots },
    grid(groups),
    {
      overrides: { ...own.overrides?.(work), ...part === 'forward' ? switches(epilogue) : {} },
      flops: 2 * M * slots * tile[0] * tile[1],
    },
  )
  return true
}

// The WGSL of sparse products, put together: a loop, how operands are read, and a pattern's walk.
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { outputs, reader } from '../ops/matmul/kernels.ts'
import type { TileWalk } from './pattern.ts'

const params = ['M', 'N', 'K', 'tile_rows', 'tile_columns']
const known = new Map<string, Kernel>()

function once(key: string, make: () => Kernel): Kernel {
  let found = known.get(key)
  if (!found) known.set(key, found = make())
  return found
}

/** A walk's index arrays as buffers, behind those of the kernel, and its functions. */
const walkText = ({ index, wgsl }: TileWalk): string =>
  [...index.map((name, i) => `@group(0) @binding(${6 + i}) var<storage, read> ${name}: array<u32>;`), wgsl].join('\n')

const buffers = ({ index }: TileWalk) => ['x', 'values', 'bias', 'residual', 'out', ...index]

/** The product by tiles, of strips of so many vectors; whether rows of x and of out are whole vectors of four. */
export function tilesKernel(walk: TileWalk, vectors: 1 | 2 | 4, x: boolean, out: boolean, label: string): Kernel {
  return once(`tiles ${vectors} ${x} ${out} ${walk.wgsl}`, () =>
    kernel('sparse/tiles.wgsl', {
      buffers: buffers(walk),
      params,
      splice: {
        '/*walk*/': walkText(walk),
        '/*memory*/': [reader('x', 0, x), outputs(out)].join('\n'),
        '/*columns*/4': String(vectors),
      },
      label: `${label}${x && out ? '' : ', unaligned'}`,
    }))
}

const scalars = `@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;`

/** The product for tiles of any size. */
export function entriesKernel(walk: TileWalk, x: boolean, label: string): Kernel {
  return once(`entries ${x} ${walk.wgsl}`, () =>
    kernel('sparse/entries.wgsl', {
      buffers: buffers(walk),
      params,
      splice: { '/*walk*/': walkText(walk), '/*memory*/': [reader('x', 0, x), scalars].join('\n') },
      label: `${label}${x ? '' : ', unaligned'}`,
    }))
}

/** Cuts matrices into strips, of vectors or of single columns. */
export function stripsKernel(vectors: boolean): Kernel {
  return once(`strips ${vectors}`, () =>
    kernel('sparse/strips.wgsl', {
      buffers: ['x', 'out'],
      params: ['rows', 'width', 'height', 'strips'],
      splice: { '/*element*/f32': vectors ? 'vec4f' : 'f32' },
      label: vectors ? 'vectors' : '',
    }))
}

const gradientBuffers = ['dy', 'x', 'tile_row', 'tile_column', 'values']

/** The gradient to the values of tiles whose strips are so many vectors. */
export function tileValuesKernel(vectors: 1 | 2 | 4): Kernel {
  return once(`tile-values ${vectors}`, () =>
    kernel('sparse/tile-values.wgsl', {
      buffers: gradientBuffers,
      params: ['M', 'slots'],
      splice: { '/*columns*/4': String(vectors) },
      label: `strips of ${4 * vectors}`,
    }))
}

/** The gradient to the values of tiles of any size. */
export const entryValuesKernel = kernel('sparse/entry-values.wgsl', {
  buffers: gradientBuffers,
  params: ['N', 'K', 'height', 'slots'],
})

const turned = { buffers: ['values', 'order', 'out'], params: ['slots'] }

/** Transposes the tiles of a weight, four by four entries at a time or one by one. */
export const turnKernels = {
  vectors: kernel('sparse/turn-vectors.wgsl', turned),
  entries: kernel('sparse/turn.wgsl', turned),
}

// The WGSL of sparse products, put together: a loop, how operands are read, and a pattern's walk.
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { outputs, reader, writer } from '../ops/matmul/kernels.ts'
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
  return once(`tiles ${vectors} ${x} ${out} ${walkText(walk)}`, () =>
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

/** The product for tiles of any size, so many vectors of four rows at a time. */
export function entriesKernel(walk: TileWalk, quads: 8 | 16, x: boolean, out: boolean, label: string): Kernel {
  return once(`entries ${quads} ${x} ${out} ${walkText(walk)}`, () =>
    kernel('sparse/entries.wgsl', {
      buffers: buffers(walk),
      params,
      splice: {
        '/*walk*/': walkText(walk),
        '/*memory*/': [reader('x', 0, x), outputs(out)].join('\n'),
        '/*quads*/8': String(quads),
      },
      label: `${label}${x && out ? '' : ', unaligned'}`,
    }))
}

/** Lists what a walk's functions say. */
export function walkKernel(walk: TileWalk, label: string): Kernel {
  return once(`walk ${walkText(walk)}`, () =>
    kernel('sparse/walk.wgsl', {
      buffers: ['bounds', 'columns', ...walk.index],
      params: ['N', 'K', 'tile_rows', 'tile_columns', 'slots'],
      splice: { '/*walk*/': walkText(walk) },
      label,
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

/** Kernels of masked weights; whether rows of the weight are whole vectors of four. */
export const maskedKernels = {
  occupancy: (aligned: boolean): Kernel =>
    once(`occupancy ${aligned}`, () =>
      kernel('sparse/occupancy.wgsl', {
        buffers: ['mask', 'flags'],
        params: ['N', 'K', 'tiles', 'tile_columns'],
        splice: { '/*memory*/': reader('mask', 0, aligned) },
        label: aligned ? '' : 'unaligned',
      })),
  occupied: kernel('sparse/occupied.wgsl', {
    buffers: ['flags', 'count', 'tile_row', 'tile_column', 'slot_of'],
    params: ['rows', 'columns'],
  }),
  pack: (aligned: boolean): Kernel =>
    once(`pack ${aligned}`, () =>
      kernel('sparse/pack.wgsl', {
        buffers: ['weight', 'mask', 'tile_row', 'tile_column', 'values'],
        params: ['N', 'K', 'slots'],
        splice: { '/*memory*/': [reader('weight', 0, aligned), reader('mask', 1, aligned)].join('\n') },
        label: aligned ? '' : 'unaligned',
      })),
  spread: (aligned: boolean): Kernel =>
    once(`spread ${aligned}`, () =>
      kernel('sparse/spread.wgsl', {
        buffers: ['weight', 'mask', 'values', 'slot_of', 'dweight', 'dmask'],
        params: ['N', 'K', 'tile_columns'],
        splice: {
          '/*memory*/': [
            reader('weight', 0, aligned),
            reader('mask', 1, aligned),
            writer('dweight', 4, aligned),
            writer('dmask', 5, aligned),
          ].join('\n'),
        },
        label: aligned ? '' : 'unaligned',
      })),
}

// The WGSL of sparse products, put together: a loop, how operands are read, and a pattern's walk.
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { outputs, reader, writer } from '../ops/matmul/kernels.ts'
import { type EntryGroups, type TileWalk, wordColumns } from './pattern.ts'

const params = ['M', 'N', 'K', 'tile_rows', 'tile_columns']
const known = new Map<string, Kernel>()

function once(key: string, make: () => Kernel): Kernel {
  let found = known.get(key)
  if (!found) known.set(key, found = make())
  return found
}

/**
 * The entries of a word, of entries-grouped.wgsl, written out: a loop would cost more than they do, and so each has its
 * group and its shift as constants.
 */
function wordText({ kept, size, bits }: EntryGroups): string {
  return Array.from({ length: 32 / bits }, (_, i) =>
    `{
      let v = vec4f((*value)[${i}]);
      let at = ${Math.floor(i / kept) * size}u + ((places >> ${i * bits}u) & ${size - 1}u);
      for (var q = 0u; q < QUADS; q++) { (*sum)[q] = fma(v, (*columns)[at][q], (*sum)[q]); }
    }`).join('\n    ')
}

/** A walk's index arrays as buffers, behind those of the kernel, and its functions. */
const walkText = ({ index, wgsl }: TileWalk): string =>
  [...index.map((name, i) => `@group(0) @binding(${6 + i}) var<storage, read> ${name}: array<u32>;`), wgsl].join('\n')

/** What the rows of x are and where sums go, as the product kernels take it. */
export interface RowMemory {
  /** Tells versions apart; '' is the usual one. */
  label: string
  /** The buffer at binding 3. */
  third: 'residual' | 'taps'
  /** Sizes besides those of the product. */
  params: readonly string[]
  splice: Readonly<Record<string, string>>
  /** What becomes of the sums of an invocation of tiles.wgsl and of entries.wgsl. */
  ends: readonly [tiles: string, entries: string]
}

/** Rows of matrices; whether those of x and of out are whole vectors of four. */
export function matrixRows(x: boolean, out: boolean): RowMemory {
  return {
    label: [x ? '' : 'unaligned', out ? '' : 'unaligned outputs'].filter(Boolean).join(', '),
    third: 'residual',
    params: [],
    splice: { '/*memory*/': [reader('x', 0, x), outputs(out), '// #include rows.wgsl'].join('\n') },
    ends: [
      `for (var r = 0u; r < 4u; r++) {
          for (var c = 0u; c < COLUMNS; c++) { finish(0u, 0u, m + r, n + 4u * c, sum[r * COLUMNS + c]); }
        }`,
      `finish(0u, 0u, r, first_output + output, vec4f(s.x, t.x, u.x, v.x));
    finish(0u, 0u, r + 1u, first_output + output, vec4f(s.y, t.y, u.y, v.y));
    finish(0u, 0u, r + 2u, first_output + output, vec4f(s.z, t.z, u.z, v.z));
    finish(0u, 0u, r + 3u, first_output + output, vec4f(s.w, t.w, u.w, v.w));`,
    ],
  }
}

/** Sizes of pixels.wgsl. */
export const pixelSizes = ['pixels', 'width', 'batch_stride', 'row_stride'] as const

/** Rows that are windows of images; whether the pixels of an image are whole vectors of four. */
export function pixelRows(whole: boolean): RowMemory {
  return {
    label: whole ? 'windows' : 'windows, unaligned',
    third: 'taps',
    params: pixelSizes,
    splice: {
      '/*sizes*/': pixelSizes.map((name) => `, ${name}: u32`).join(''),
      '/*memory*/': '// #include pixels.wgsl',
      '/*store*/': `@group(0) @binding(4) var<storage, read_write> out: array<${whole ? 'vec4f' : 'f32'}>;
fn store_pixels(m: u32, n: u32, sums: vec4f) {
  ${
        whole
          ? 'out[((m / p.pixels * p.N + n) * p.pixels + m % p.pixels) / 4u] = sums;'
          : `for (var r = 0u; r < min(4u, p.M - m); r++) {
    let row = m + r;
    out[(row / p.pixels * p.N + n) * p.pixels + row % p.pixels] = sums[r];
  }`
      }
}`,
    },
    ends: [
      `for (var c = 0u; c < COLUMNS; c++) {
          put_rows(m, n + 4u * c, sum[c], sum[COLUMNS + c], sum[2u * COLUMNS + c], sum[3u * COLUMNS + c]);
        }`,
      'put_outputs(r, first_output + output, s, t, u, v);',
    ],
  }
}

const product = (
  file: string,
  walk: TileWalk,
  rows: RowMemory,
  end: string,
  name: string,
  splice: Record<string, string>,
) =>
  kernel(file, {
    buffers: ['x', 'values', 'bias', rows.third, 'out', ...walk.index],
    params: [...params, ...rows.params],
    splice: { '/*walk*/': walkText(walk), ...rows.splice, '/*finish*/': end, ...splice },
    label: rows.label ? `${name}, ${rows.label}` : name,
  })

/** The product by tiles, of strips of so many vectors. */
export function tilesKernel(walk: TileWalk, vectors: 1 | 2 | 4, rows: RowMemory, label: string): Kernel {
  return once(
    `tiles ${vectors} ${rows.label} ${walkText(walk)}`,
    () => product('sparse/tiles.wgsl', walk, rows, rows.ends[0], label, { '/*columns*/4': String(vectors) }),
  )
}

/** The product for tiles of any size, so many vectors of four rows at a time; `groups`: single entries by words. */
export function entriesKernel(
  walk: TileWalk,
  quads: 8 | 16,
  rows: RowMemory,
  label: string,
  groups?: EntryGroups,
): Kernel {
  return once(
    `entries ${quads} ${rows.label} ${JSON.stringify(groups ?? null)} ${walkText(walk)}`,
    () =>
      product('sparse/entries.wgsl', walk, rows, rows.ends[1], groups ? `${label}, in groups` : label, {
        '/*quads*/8': String(quads),
        '/*entries*/': groups
          ? `${groups.wgsl}\n// #include entries-grouped.wgsl`
          : '// #include entries-counted.wgsl',
        ...groups && {
          '/*slots*/16': `${32 / groups.bits}u`,
          '/*columns*/32': `${wordColumns(groups)}u`,
          '/*word*/': wordText(groups),
        },
      }),
  )
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

/** Cuts windows of images into strips. */
export const unfoldKernel = kernel('sparse/unfold.wgsl', {
  buffers: ['x', 'taps', 'out'],
  params: ['first', 'rows', 'K', 'height', 'strips', ...pixelSizes],
})

/** Adds windows up to images. */
export const foldKernel = kernel('sparse/fold.wgsl', {
  buffers: ['columns', 'out'],
  params: [
    'size',
    'height',
    'width',
    'kernel_y',
    'kernel_x',
    'rows',
    'width_out',
    'stride_y',
    'stride_x',
    'padding_y',
    'padding_x',
    'dilation_y',
    'dilation_x',
  ],
})

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

// The kernels of Winograd's convolution for tiles of two by two and of four by four outputs: what is spliced into their
// texts so that each loop walks along few places of its arrays.
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { placeParams } from '../shared/strips.ts'

/** Outputs of a tile along an axis. */
export type TileSide = 2 | 4

/** Pixels of a row that the last step writes as one. */
type Width = 4 | 2 | 1

/**
 * What each line of points is made of: the lines d of the data, and the rows m of the products that become a row of
 * pixels. The same as `of_data` and `of_sums` of the file, which transform along the other axis.
 */
const formulas = {
  2: {
    file: 'two',
    data: ['d0 - d2', 'd1 + d2', 'd2 - d1', 'd1 - d3'],
    sums: ['m0 + m1 + m2', 'm1 - m2 - m3'],
  },
  4: {
    file: 'four',
    data: [
      '4.0 * (d0 - d2) + (d4 - d2)',
      '(d4 - 4.0 * d2) + (d3 - 4.0 * d1)',
      '(d4 - 4.0 * d2) - (d3 - 4.0 * d1)',
      '(d4 - d2) + 2.0 * (d3 - d1)',
      '(d4 - d2) - 2.0 * (d3 - d1)',
      '4.0 * (d1 - d3) + (d5 - d3)',
    ],
    sums: [
      'm0 + (m1 + m2) + (m3 + m4)',
      '(m1 - m2) + 2.0 * (m3 - m4)',
      '(m1 + m2) + 4.0 * (m3 + m4)',
      '(m1 - m2) + 8.0 * (m3 - m4) + m5',
    ],
  },
} as const

const include = (side: TileSide) => `// #include ${formulas[side].file}.wgsl`

/** The loop over a row of tiles that makes line i of their points. */
function line(formula: string, i: number): string {
  const at = (place: string) => formula.replaceAll(/d(\d)/g, (_, row: string) => `x[at + ${row}u * next${place}`)
  return `  {
    var before: array<vec4f, 2 * KEPT>;
    for (var c = 0u; c < KEPT; c++) {
      for (var q = 0u; q < 2u; q++) { before[2u * c + q] = ${at('][MADE - KEPT + c][q]')}; }
    }
    for (var t = 0u; t < p.tiles_x; t++) {
      var low: Line;
      var high: Line;
      for (var c = 0u; c < KEPT; c++) { low[c] = before[2u * c]; high[c] = before[2u * c + 1u]; }
      for (var c = 0u; c < MADE; c++) {
        low[KEPT + c] = ${at(' + t + 1u][c][0]')};
        high[KEPT + c] = ${at(' + t + 1u][c][1]')};
      }
      for (var c = 0u; c < KEPT; c++) { before[2u * c] = low[MADE + c]; before[2u * c + 1u] = high[MADE + c]; }
      low = of_data(low);
      high = of_data(high);
      for (var j = 0u; j < POINTS; j++) {
        out[to + (${i}u * POINTS + j) * points + t * p.octets][0] = low[j];
        out[to + (${i}u * POINTS + j) * points + t * p.octets][1] = high[j];
      }
    }
  }`
}

/** Row i of the pixels of tiles, `width` neighbours at a time; behind the last whole tile single pixels. */
function row(side: TileSide, width: Width, formula: string, i: number): string {
  const unit = width > side ? width / side : 1, letters = 'xyzw', element = width === 1 ? 'f32' : `vec${width}f`
  const term = formula.replaceAll(/m(\d)/g, (_, k: string) => `m[tile][${k}u * POINTS + j][q]`)
  const store = (columns: number) =>
    Array.from({ length: columns / width }, (_, part) =>
      Array.from(letters, (output) => {
        const pixels = Array.from({ length: width }, (_, k) => part * width + k).map((j) =>
          `tile${Math.floor(j / side)}[${j % side}].${output}`
        )
        const place = `(to.${output} + ${i}u * p.width + t * MADE + ${part * width}u) / ${width}u`
        return `      if (some.${output}) { y[${place}] = ${element}(${pixels.join(', ')}); }`
      })).flat().join('\n')
  const rest = Array.from({ length: side / width - 1 }, (_, n) => (n + 1) * width)
  return `fn pixels_${i}(tile: u32, q: u32, added: vec4f) -> array<vec4f, MADE> {
  var line: Line;
  for (var j = 0u; j < POINTS; j++) { line[j] = ${term}; }
  var made = of_sums(line);
  for (var j = 0u; j < MADE; j++) { made[j] += added; }
  return made;
}

fn put_${i}(here: u32, q: u32, to: vec4u, some: vec4<bool>, added: vec4f) {
  let whole = p.width / MADE;
  for (var t = 0u; t < whole; t += ${unit}u) {
${Array.from({ length: unit }, (_, n) => `    let tile${n} = pixels_${i}(here + t + ${n}u, q, added);`).join('\n')}
${store(unit * side)}
  }
  ${
    rest.length
      ? `if (whole < p.tiles_x) {
    let t = whole;
    let tile0 = pixels_${i}(here + t, q, added);
${rest.map((columns) => `    if (p.width - t * MADE == ${columns}u) {\n${store(columns)}\n    }`).join('\n')}
  }`
      : ''
  }
}`
}

function outputKernel(side: TileSide, width: Width): Kernel {
  const { file, sums } = formulas[side]
  return kernel('conv2d/winograd/output.wgsl', {
    buffers: ['m', 'bias', 'y'],
    params: ['size', 'outputs', 'height', 'width', 'tiles_y', 'tiles_x', 'tiles', 'first', 'has_bias'],
    splice: {
      '/*transform*/': include(side),
      '/*element*/f32': width === 1 ? 'f32' : `vec${width}f`,
      '/*store*/': sums.map((formula, i) => row(side, width, formula, i)).join('\n\n'),
      '/*rows*/': sums.map((_, i) => `  if (top + ${i}u < p.height) { put_${i}(here, quad % 4u, to, some, added); }`)
        .join('\n'),
    },
    label: `${file}, ${width} at once`,
  })
}

const kernelsOf = (side: TileSide) => ({
  weight: kernel('conv2d/winograd/weight.wgsl', {
    buffers: ['w', 'out'],
    params: ['size', ...placeParams],
    splice: { '/*transform*/': include(side) },
    label: formulas[side].file,
  }),
  input: kernel('conv2d/winograd/input.wgsl', {
    buffers: ['x', 'out'],
    params: ['size', 'octets', 'rows', 'tiles_y', 'tiles_x', 'tiles', 'first'],
    splice: { '/*transform*/': include(side), '/*lines*/': formulas[side].data.map(line).join('\n') },
    label: formulas[side].file,
  }),
  output: { 4: outputKernel(side, 4), 2: outputKernel(side, 2), 1: outputKernel(side, 1) },
})

/** The steps before and after the products. */
export const winogradKernels = { 2: kernelsOf(2), 4: kernelsOf(4) }

/** The kernel that lays images as they are read. */
export const winogradImage = kernel('conv2d/winograd/image.wgsl', {
  buffers: ['x', 'out'],
  params: ['size', 'channels', 'octets', 'height', 'width', 'rows', 'columns', 'top', 'left'],
})

/** The products of all points. */
export const winogradProduct = kernel('conv2d/winograd/product.wgsl', {
  buffers: ['x', 'w', 'out'],
  params: ['tiles', 'strips', 'channels', 'width', 'points'],
})

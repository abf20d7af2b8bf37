// Matrix products at the level of launches: kernels by alignment, variant, split sums, epilogues. No shapes of tensors are
// checked here and nothing is recorded: matmul.ts, linear.ts and others that contract (1x1 convolution) stand on this.
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { wgsl } from '../gpu/wgsl.generated.ts'
import { grid, launch } from '../launch.ts'
import { empty, type Tensor } from '../tensor.ts'

/** What is done to a product before it is stored: the bias has N entries, the residual has the shape of the output. */
export interface Epilogue { bias?: Tensor | null, gelu?: boolean, residual?: Tensor | null }

/**
 * Sizes of a product out[batch, M, N] = a b. `batch` is [outer, inner] with the distance in elements between neighbouring
 * matrices of a and b along either (0 where one is shared). `first` are the elements at which a, b and out begin.
 */
export interface ProductShape {
  M: number, N: number, K: number
  transposeA?: boolean, transposeB?: boolean
  batch?: readonly [outer: number, inner: number]
  strideA?: readonly [outer: number, inner: number]
  strideB?: readonly [outer: number, inner: number]
  first?: readonly [a: number, b: number, out: number]
}

const params = ['M', 'N', 'K', 'batch', 'inner', 'a_outer', 'a_inner', 'b_outer', 'b_inner', 'a_first', 'b_first', 'out_first', 'splits', 'depth', 'epilogue']
const sumParams = ['outer', 'count', 'size', 'pieces', 'depth', 'N', 'epilogue']

/** WGSL that reads `name` four elements at a time: as vec4f where every row begins at a multiple of four, else one by one. */
function reader(name: string, binding: number, aligned: boolean): string {
  const declare = (type: string) => `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${type}>;`
  return aligned
    ? `${declare('vec4f')}
fn load_${name}(i: u32) -> vec4f { return ${name}[i / 4u]; }
fn element_${name}(i: u32) -> f32 { return ${name}[i / 4u][i % 4u]; }`
    : `${declare('f32')}
fn load_${name}(i: u32) -> vec4f {
  let end = arrayLength(&${name}) - 1u;
  return vec4f(${name}[i], ${name}[min(i + 1u, end)], ${name}[min(i + 2u, end)], ${name}[min(i + 3u, end)]);
}
fn element_${name}(i: u32) -> f32 { return ${name}[i]; }`
}

/** WGSL of `load_bias`, `load_residual` and `store`, with the epilogue between them. */
function writer(aligned: boolean): string {
  const type = aligned ? 'vec4f' : 'f32'
  const head = `@group(0) @binding(2) var<storage, read> bias: array<${type}>;
@group(0) @binding(3) var<storage, read> residual: array<${type}>;
@group(0) @binding(4) var<storage, read_write> out: array<${type}>;`
  return aligned
    ? `${head}
fn load_bias(n: u32) -> vec4f { return bias[n / 4u]; }
fn load_residual(i: u32) -> vec4f { return residual[i / 4u]; }
fn store(i: u32, count: u32, value: vec4f) { out[i / 4u] = value; }
${wgsl['matmul_output.wgsl']}`
    : `${head}
fn load_bias(n: u32) -> vec4f { return vec4f(bias[n], bias[(n + 1u) % p.N], bias[(n + 2u) % p.N], bias[(n + 3u) % p.N]); }
fn load_residual(i: u32) -> vec4f {
  let end = arrayLength(&residual) - 1u;
  return vec4f(residual[i], residual[min(i + 1u, end)], residual[min(i + 2u, end)], residual[min(i + 3u, end)]);
}
fn store(i: u32, count: u32, value: vec4f) {
  for (var j = 0u; j < count; j++) { out[i + j] = value[j]; }
}
${wgsl['matmul_output.wgsl']}`
}

const kernels = new Map<string, Kernel>()

/** The kernel of a file for operands whose rows are (or are not) whole vectors. */
function kernelFor(file: 'matmul.wgsl' | 'matmul_sum.wgsl', alignedA: boolean, alignedB: boolean, alignedOut: boolean, masked = false): Kernel {
  const key = `${file} ${alignedA} ${alignedB} ${alignedOut} ${masked}`
  let found = kernels.get(key)
  if (!found) {
    const isSum = file === 'matmul_sum.wgsl'
    const memory = [reader('a', 0, alignedA), isSum ? '' : masked ? maskedReader(alignedB) : reader('b', 1, alignedB), writer(alignedOut)]
    const label = [masked ? 'masked' : '', alignedA && alignedB && alignedOut ? '' : 'unaligned'].filter(Boolean).join(' ')
    found = kernel(file, {
      buffers: ['a', ...isSum ? [] : ['b'], ...masked ? ['mask'] : [], 'bias', 'residual', 'out'],
      params: isSum ? sumParams : params,
      splice: { '/*memory*/': memory.join('\n') }, label })
    kernels.set(key, found)
  }
  return found
}

/** `load_b` of the product with b times mask, which is laid out as b. */
function maskedReader(aligned: boolean): string {
  const rename = (text: string) => text.replace('fn load_b', 'fn load_unmasked').replace('fn element_b', 'fn element_unmasked')
  return `${rename(reader('b', 1, aligned))}
${reader('mask', 6, aligned)}
fn load_b(i: u32) -> vec4f { return load_unmasked(i) * load_mask(i); }
fn element_b(i: u32) -> f32 { return element_unmasked(i) * element_mask(i); }`
}

const epilogueCode = ({ bias, gelu, residual }: Epilogue) => residual ? 3 : gelu ? 2 : bias ? 1 : 0

/** Writes a b (b times mask, if there is one), with the epilogue, into `out`. */
export function product(a: Tensor, b: Tensor, out: Tensor, shape: ProductShape, epilogue: Epilogue = {}, mask?: Tensor): void {
  const { M, N, K, transposeA = false, transposeB = false, batch = [1, 1], strideA = [0, 0], strideB = [0, 0], first = [0, 0, 0] } = shape
  const matrices = batch[0] * batch[1]
  const whole = (...sizes: number[]) => sizes.every((size) => size % 4 === 0)
  const alignedA = whole(transposeA ? M : K, ...strideA, first[0]), alignedB = whole(transposeB ? K : N, ...strideB, first[1]), alignedOut = whole(N, first[2])
  const variant = { ROWS: 8, COLUMNS: 2, X: 8, Y: 8 }
  const splits = 1, depth = Math.ceil(K / 4) * 4
  const across = Math.ceil(N / (variant.X * variant.COLUMNS * 4)), down = Math.ceil(M / (variant.Y * variant.ROWS))
  launch(kernelFor('matmul.wgsl', alignedA, alignedB, alignedOut, mask !== undefined),
    { a, b, ...mask ? { mask } : {}, bias: epilogue.bias ?? b, residual: epilogue.residual ?? a, out },
    { M, N, K, batch: matrices, inner: batch[1], a_outer: strideA[0], a_inner: strideA[1], b_outer: strideB[0], b_inner: strideB[1],
      a_first: first[0], b_first: first[1], out_first: first[2], splits, depth, epilogue: epilogueCode(epilogue) },
    grid(across * down * matrices * splits),
    { overrides: { TRANSPOSE_A: Number(transposeA), TRANSPOSE_B: Number(transposeB), ...variant }, flops: 2 * matrices * M * N * K })
}

/** Sums x, seen as [outer, count, size], over the middle: a tensor of the given shape with outer x size elements. */
export function sumMiddle(x: Tensor, outer: number, count: number, size: number, shape: readonly number[]): Tensor {
  // A few columns with many rows would keep only a few invocations busy: cut the rows into pieces and add those in a second launch.
  const pieces = count >= 64 && outer * size < 16384 ? Math.min(64, Math.ceil(count / 32)) : 1
  const depth = Math.ceil(count / pieces), used = Math.ceil(count / depth)
  const aligned = size % 4 === 0
  const run = (from: Tensor, to: Tensor, count: number, pieces: number, depth: number) => {
    launch(kernelFor('matmul_sum.wgsl', aligned, true, aligned), { a: from, bias: from, residual: from, out: to },
      { outer, count, size, pieces, depth, N: size, epilogue: 0 }, grid(Math.ceil(outer * pieces * Math.ceil(size / 4) / 64)))
  }
  const out = empty(shape)
  if (used === 1) {
    run(x, out, count, 1, count)
  } else {
    const partial = empty([outer, used, size])
    run(x, partial, count, used, depth)
    run(partial, out, used, 1, used)
    partial.dispose()
  }
  return out
}

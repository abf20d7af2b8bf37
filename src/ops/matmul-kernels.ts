// The WGSL of matrix products, put together: a loop (registers, subgroup, workgroup memory), how operands are read (four at a
// time where rows are whole vectors, else one by one; b through a mask or not), and the common output.
import { kernel, type Kernel } from '../gpu/kernel.ts'
import { wgsl } from '../gpu/wgsl.generated.ts'

/** Whether every row of an operand begins at a multiple of four elements. */
export interface Alignment { a: boolean, b: boolean, out: boolean }

/** The kernel files that hold a product's loop. */
export type ProductFile = 'matmul.wgsl' | 'matmul_subgroup.wgsl' | 'matmul_tiled.wgsl'

const productParams = ['M', 'N', 'K', 'batch', 'inner', 'a_outer', 'a_inner', 'b_outer', 'b_inner', 'a_first', 'b_first', 'out_first', 'splits', 'depth']
const kernels = new Map<string, Kernel>()

/** The kernel of a product for operands of this alignment; `masked` reads b times mask. */
export function productKernel(file: ProductFile, { a, b, out }: Alignment, masked = false): Kernel {
  return once(`${file} ${a} ${b} ${out} ${masked}`, () => kernel(file, {
    buffers: ['a', 'b', ...masked ? ['mask'] : [], 'bias', 'residual', 'out'], params: productParams,
    splice: {
      '/*product*/': wgsl['matmul_product.wgsl'],
      '/*memory*/': [reader('a', 0, a), masked ? maskedReader(b) : reader('b', 1, b), outputs(out)].join('\n'),
      '/*output*/': wgsl['matmul_output.wgsl'],
    },
    label: [masked ? 'masked' : '', a && b && out ? '' : 'unaligned'].filter(Boolean).join(' ') }))
}

/** The kernel that adds the partial sums of a split product. */
export function sumKernel(aligned: boolean): Kernel {
  return once(`sum ${aligned}`, () => kernel('matmul_sum.wgsl', {
    buffers: ['a', 'bias', 'residual', 'out'], params: ['outer', 'count', 'M', 'N', 'pieces', 'depth'],
    splice: { '/*memory*/': [reader('a', 0, aligned), outputs(aligned)].join('\n'), '/*output*/': wgsl['matmul_output.wgsl'] },
    label: aligned ? '' : 'unaligned' }))
}

function once(key: string, make: () => Kernel): Kernel {
  let found = kernels.get(key)
  if (!found) kernels.set(key, found = make())
  return found
}

/** WGSL of `load_<name>(i, left)`: elements i to i + 3 of a buffer, zero from the `left`-th on. */
function reader(name: string, binding: number, aligned: boolean): string {
  const declaration = `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${aligned ? 'vec4f' : 'f32'}>;`
  if (aligned) return `${declaration}\nfn load_${name}(i: u32, left: u32) -> vec4f { return ${name}[i / 4u]; }`
  return `${declaration}
fn load_${name}(i: u32, left: u32) -> vec4f {
  let last = i + min(left, 4u) - 1u;
  let v = vec4f(${name}[i], ${name}[min(i + 1u, last)], ${name}[min(i + 2u, last)], ${name}[min(i + 3u, last)]);
  return select(vec4f(), v, vec4u(0u, 1u, 2u, 3u) < vec4u(left));
}`
}

function maskedReader(aligned: boolean): string {
  return `${reader('b', 1, aligned).replace('fn load_b', 'fn load_unmasked')}
${reader('mask', 6, aligned)}
fn load_b(i: u32, left: u32) -> vec4f { return load_unmasked(i, left) * load_mask(i, left); }`
}

function outputs(aligned: boolean): string {
  return `${reader('bias', 2, aligned)}
${reader('residual', 3, aligned)}
@group(0) @binding(4) var<storage, read_write> out: array<${aligned ? 'vec4f' : 'f32'}>;
fn store(i: u32, left: u32, value: vec4f) {
  ${aligned ? 'out[i / 4u] = value;' : 'for (var j = 0u; j < min(left, 4u); j++) { out[i + j] = value[j]; }'}
}`
}

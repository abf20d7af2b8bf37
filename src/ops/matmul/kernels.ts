// The WGSL of matrix products, put together: a loop (registers, subgroup, workgroup memory), how operands are read
// (four at a time where rows are whole vectors, else one by one; b through a mask or not), and the common output.
import { kernel, type Kernel, type Overrides } from '../../gpu/kernel.ts'
import { wgsl } from '../../gpu/wgsl.generated.ts'
import type { Tensor } from '../../core/tensor.ts'

/**
 * Whether every row of an operand begins at a multiple of four elements. `block` is 2 or 4 where rows of out are whole
 * blocks of as many vectors and the loop makes whole blocks.
 */
export interface Alignment {
  a: boolean
  b: boolean
  out: boolean
  block?: 2 | 4
}

/** What is done to a product before it is stored: the bias has N entries, the residual has the shape of the output. */
export interface Epilogue {
  bias?: Tensor | null
  gelu?: boolean
  residual?: Tensor | null
}

/** The overrides of matmul/output.wgsl. */
export function switches({ bias, gelu, residual }: Epilogue): Overrides {
  return bias || gelu || residual ? { BIAS: bias ? 1 : 0, GELU: gelu ? 1 : 0, RESIDUAL: residual ? 1 : 0 } : {}
}

/** Whether all of these are whole vectors of four. */
export const whole = (...sizes: number[]) => sizes.every((size) => size % 4 === 0)

const productParams = [
  'M',
  'N',
  'K',
  'batch',
  'inner',
  'a_outer',
  'a_inner',
  'b_outer',
  'b_inner',
  'a_first',
  'b_first',
  'out_first',
  'out_step',
  'splits',
  'per_split',
]
const kernels = new Map<string, Kernel>()

/**
 * What stands for b: one tensor, one times a mask, or several weights (2 or 3) of equal shape with a bias and an output
 * each, and no residual, because an adapter may have as few as ten buffers.
 */
export type ProductForm = 'plain' | 'masked' | 2 | 3

/** The kernel of a product for operands of this alignment. */
export function productKernel(
  file: string,
  { a, b, out, block }: Alignment,
  form: ProductForm = 'plain',
): Kernel {
  const weights = form === 'plain' ? reader('b', 1, b, true) : form === 'masked'
    ? maskedReader(b)
    : several('b', form, (name, i) => reader(name, 10 + i, b))
  const ends = block
    ? '// #include finish-row.wgsl'
    : typeof form === 'number'
    ? severalOutputs(out, form)
    : outputs(out)
  return once(`${file} ${a} ${b} ${out} ${block} ${form}`, () =>
    kernel(file, {
      buffers: productBuffers(form),
      params: productParams,
      splice: {
        '/*memory*/': [reader('a', 0, a), weights, ends].join('\n'),
        '/*output*/': block ? '// #include output.wgsl' : output,
        ...block ? { '/*columns*/4': String(block) } : {},
        ...wgsl[file].includes('/*finish*/') ? { '/*finish*/': block ? finishBlock : finishVectors } : {},
      },
      label: [
        form === 'plain' ? '' : form === 'masked' ? form : `${form} weights`,
        a && b && out ? '' : 'unaligned',
        block ? `blocks of ${4 * block}` : '',
      ].filter(Boolean).join(' '),
    }))
}

const output = '// #include output.wgsl\n// #include finish.wgsl'

// What becomes of row r of an invocation's sums.
const finishVectors =
  'for (var c = 0u; c < COLUMNS; c++) { finish(tile.matrix, tile.out, m + r, n + 4u * c, sum[r * COLUMNS + c]); }'
const finishBlock = `var row: array<vec4f, 4>;
          for (var c = 0u; c < COLUMNS; c++) { row[c] = sum[r * COLUMNS + c]; }
          finish_row(tile.matrix, tile.out, m + r, n, row);`

function productBuffers(form: ProductForm): string[] {
  if (typeof form === 'number') {
    return ['a', ...Array.from({ length: form }, (_, i) => [`b${i}`, `bias${i}`, `out${i}`]).flat()]
  }
  return ['a', 'b', ...form === 'masked' ? ['mask'] : [], 'bias', 'residual', 'out']
}

/** The kernel that adds the partial sums of a split product. */
export function sumKernel(aligned: boolean): Kernel {
  return once(`sum ${aligned}`, () =>
    kernel('matmul/sum.wgsl', {
      buffers: ['a', 'bias', 'residual', 'out'],
      params: ['outer', 'count', 'M', 'N', 'splits', 'per_split'],
      splice: { '/*memory*/': [reader('a', 0, aligned), outputs(aligned)].join('\n'), '/*output*/': output },
      label: aligned ? '' : 'unaligned',
    }))
}

function once(key: string, make: () => Kernel): Kernel {
  let found = kernels.get(key)
  if (!found) kernels.set(key, found = make())
  return found
}

/**
 * WGSL of `load_<name>(i, left)`: elements i to i + 3 of a buffer, zero from the `left`-th on. `choice` adds the
 * parameter `which`.
 */
export function reader(name: string, binding: number, aligned: boolean, choice = false): string {
  const head = `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${aligned ? 'vec4f' : 'f32'}>;
fn load_${name}(${choice ? 'which: u32, ' : ''}i: u32, left: u32) -> vec4f {`
  if (aligned) return `${head} return ${name}[i / 4u]; }`
  return `${head}
  let last = i + min(left, 4u) - 1u;
  let v = vec4f(${name}[i], ${name}[min(i + 1u, last)], ${name}[min(i + 2u, last)], ${name}[min(i + 3u, last)]);
  return select(vec4f(), v, vec4u(0u, 1u, 2u, 3u) < vec4u(left));
}`
}

function maskedReader(aligned: boolean): string {
  return `${reader('b', 1, aligned).replace('fn load_b', 'fn load_unmasked')}
${reader('mask', 6, aligned)}
fn load_b(which: u32, i: u32, left: u32) -> vec4f { return load_unmasked(i, left) * load_mask(i, left); }`
}

/** WGSL of `load_bias`, `load_residual` and `store`, at bindings 2, 3 and 4, as finish.wgsl calls them. */
export function outputs(aligned: boolean): string {
  return `${reader('bias', 2, aligned, true)}
${reader('residual', 3, aligned)}
${writer('out', 4, aligned).replace('fn store_out(', 'fn store(which: u32, ')}`
}

/** WGSL of `store_<name>(i, left, value)`: writes elements i to i + 3 of a buffer, those before the `left`-th. */
export function writer(name: string, binding: number, aligned: boolean): string {
  return `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<${aligned ? 'vec4f' : 'f32'}>;
fn store_${name}(i: u32, left: u32, value: vec4f) {
  ${aligned ? `${name}[i / 4u] = value;` : `for (var j = 0u; j < min(left, 4u); j++) { ${name}[i + j] = value[j]; }`}
}`
}

/** WGSL of `load_<name>(which, i, left)` over buffers `<name>0`, `<name>1`, ... */
function several(name: string, count: number, one: (name: string, i: number) => string): string {
  const parts = Array.from({ length: count }, (_, i) => one(`${name}${i}`, i))
  const choose = parts.map((_, i) =>
    i < count - 1 ? `if (which == ${i}u) { return load_${name}${i}(i, left); }` : `return load_${name}${i}(i, left);`
  )
  return `${parts.join('\n')}\nfn load_${name}(which: u32, i: u32, left: u32) -> vec4f {\n  ${choose.join('\n  ')}\n}`
}

function severalOutputs(aligned: boolean, count: number): string {
  const parts = Array.from({ length: count }, (_, i) => writer(`out${i}`, 30 + i, aligned))
  return `${several('bias', count, (name, i) => reader(name, 20 + i, aligned))}
fn load_residual(i: u32, left: u32) -> vec4f { return vec4f(); }
${parts.join('\n')}
fn store(which: u32, i: u32, left: u32, value: vec4f) {
  ${parts.map((_, i) => `if (which == ${i}u) { store_out${i}(i, left, value); }`).join('\n  ')}
}`
}

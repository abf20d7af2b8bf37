// Focused linear attention in few passes, as inference has it, and the plain ops that it is made of (Han et al.,
// "FLatten Transformer", ICCV 2023, equations 5 to 12). B windows, N tokens, H heads, D channels of q and k, E of v.
import { ShapeError } from '../../base/errors.ts'
import { linksOf } from '../../core/axes.ts'
import { grid, launch } from '../../core/launch.ts'
import { op } from '../../core/op.ts'
import { activeTape } from '../../core/tape.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { depthwise } from '../conv2d/depthwise.ts'
import { add, div, mul, offset, pow, relu, softplus } from '../elementwise.ts'
import { opened } from '../matmul/linear.ts'
import { permute } from '../permute.ts'
import { norm } from '../reduce.ts'
import { reshape } from '../reshape.ts'
import { pickRowKernel, rowKernels, threadsPerRow } from '../shared/row-kernels.ts'
import { linearAttention } from './linear-attention.ts'
import { attentionSizes } from './shapes.ts'

const small = 1e-6 // keeps a feature positive; the paper's code has the same constant

/** What a focused attention has beside queries, keys and values. */
export interface FocusedParts {
  /** [H, D], before softplus. */
  sharpness: Tensor
  /** Added to the keys: [N, H, D]. */
  positions: Tensor
  /** [E, 1, k, k] shared by all heads, or [H, E, 1, k, k]; k is odd. */
  kernel: Tensor
  /** [E] or [H, E]. */
  kernelBias: Tensor
  /** Power of the focusing function. */
  power: number
  /** Side of the grid of tokens. */
  window: number
}

/** (relu(t) + a small constant) / sharp: what the focusing function is called on. */
export const positive = (t: Tensor, sharp: Tensor): Tensor => div(offset(relu(t), { by: small }), sharp)

/**
 * f(t) = |t| t^p / |t^p|, norms over all heads and channels: keeps the length, sharpens the direction. t [B, N, H, D].
 */
export function focus(t: Tensor, power: number): Tensor {
  const sharpened = pow(t, { exponent: power })
  const length = (u: Tensor) => norm(u, { axes: [-2, -1], keep: true })
  return mul(sharpened, div(length(t), length(sharpened)))
}

type Local = Pick<FocusedParts, 'kernel' | 'kernelBias' | 'window'>

/**
 * Linear attention of focused features plus a depthwise convolution of v over the grid of its tokens. q, k [B, N, H,
 * D], v [B, N, H, E] -> [B, N, H, E].
 */
export function attended(q: Tensor, k: Tensor, v: Tensor, parts: Local): Tensor {
  // The paper divides by q . mean k + 1e-6; with the sum over N keys instead of the mean the constant grows by N.
  return add(linearAttention(q, k, v, { eps: small * k.shape[1] }), local(v, parts))
}

function local(v: Tensor, { kernel, kernelBias, window }: Local): Tensor {
  const [batch, tokens, heads, dim] = v.shape
  const shared = kernel.shape.length === 4, channels = shared ? dim : heads * dim
  const image = reshape(
    permute(reshape(v, { shape: [batch, window, window, heads, dim] }), { order: [0, 3, 4, 1, 2] }),
    { shape: [-1, channels, window, window] },
  )
  const [side] = kernel.shape.slice(-1)
  const weight = shared ? kernel : reshape(kernel, { shape: [channels, 1, side, side] })
  const bias = shared ? kernelBias : reshape(kernelBias, { shape: [channels] })
  const out = depthwise(image, weight, bias, { padding: side >> 1 })
  return reshape(permute(reshape(out, { shape: [batch, heads, dim, window, window] }), { order: [0, 3, 4, 1, 2] }), {
    shape: [batch, tokens, heads, dim],
  })
}

/**
 * All of it: queries and keys through `positive` and `focus`, the keys with their positions, then `attended`. q, k
 * [B, N, H, D], v [B, N, H, E] as they come from their layers, N = window^2 -> [B, N, H, E]. In few passes where no
 * tape records; a tape records the plain ops, so that rules and gates see them. Digits differ in the last ones at most.
 * @throws ShapeError if shapes do not fit.
 */
export function focusedAttention(q: Tensor, k: Tensor, v: Tensor, parts: FocusedParts): Tensor {
  const { sharpness, positions, kernel, kernelBias, power, window } = parts
  const args = [q, k, v, sharpness, positions, kernel, kernelBias] as const
  return activeTape() ? plain(args, { power, window }) : fused(...args, { power, window })
}

type Arguments = readonly [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
type FocusedAttrs = Pick<FocusedParts, 'power' | 'window'>

function plain([q, k, v, sharpness, positions, kernel, kernelBias]: Arguments, { power, window }: FocusedAttrs) {
  const sharp = softplus(sharpness)
  const query = focus(positive(q, sharp), power), key = focus(positive(add(k, positions), sharp), power)
  return attended(query, key, v, { kernel, kernelBias, window })
}

const fused = op({
  name: 'focus+linear-attention+depthwise',
  attrs: { power: true, window: true },
  axes: (shapes, out, attrs) => {
    const shared = shapes[5]!.length === 4
    const own = shared ? 'e . . ., e' : 'h e . . ., h e'
    return linksOf(`b n h d, b m h d, b m h e, h d, m h d, ${own} -> b n h e`, shapes, out, attrs)
  },
  zero: Array.from({ length: 7 }, () => 'breaks' as const),
  run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sharpness: Tensor,
    positions: Tensor,
    kernel: Tensor,
    kernelBias: Tensor,
    attrs: FocusedAttrs,
  ) {
    check([q, k, v, sharpness, positions, kernel, kernelBias], attrs)
    const taps = kernel.shape.at(-1)!, versions = localKernels.get(taps)
    if (!versions) return plain([q, k, v, sharpness, positions, kernel, kernelBias], attrs)
    const sharp = softplus(sharpness)
    const query = focused(q, null, sharp, attrs.power), key = focused(k, positions, sharp, attrs.power)
    const out = linearAttention(query, key, v, { eps: small * k.shape[1] })
    addLocal(v, kernel, kernelBias, out, attrs.window, versions)
    return out
  },
  vjp: (call, dy) => opened(call, dy, (...args) => plain(args as unknown as Arguments, call.attrs)),
  macs: ([q, k, v, , , kernel], out) => (q.size + k.size) * (v.shape[3] + 1) + out.size * kernel.shape.at(-1)! ** 2,
})

function check([q, k, v, sharpness, positions, kernel, kernelBias]: Arguments, { window }: FocusedAttrs): void {
  const { N, M, H, D, E } = attentionSizes('focused attention', q, k, v, null, null), tokens = window ** 2
  if (N !== tokens || M !== tokens) {
    throw new ShapeError(
      `focused attention: q [${q.shape}], k [${k.shape}]; a window of ${window} wants [batch, ${tokens}, heads, dim]`,
    )
  }
  const own = kernel.shape.length === 4 ? [E] : [H, E], [side] = kernel.shape.slice(-1)
  if (side % 2 === 0) throw new ShapeError(`focused attention: kernel [${kernel.shape}]; expected one of an odd side`)
  const wanted = { sharpness: [H, D], positions: [tokens, H, D], kernel: [...own, 1, side, side], kernelBias: own }
  for (const [name, { shape }] of Object.entries({ sharpness, positions, kernel, kernelBias })) {
    const expected = wanted[name as keyof typeof wanted]
    if (shape.join() !== expected.join()) {
      throw new ShapeError(`focused attention: ${name} [${shape}] does not fit its queries; expected [${expected}]`)
    }
  }
}

const focusKernels = rowKernels('attention/focus.wgsl', {
  buffers: ['t', 'positions', 'sharpness', 'out'],
  params: ['rows', 'width', 'tokens', 'small', 'power'],
})

/** focus(positive(t + positions, sharp)). */
function focused(t: Tensor, positions: Tensor | null, sharp: Tensor, power: number): Tensor {
  const [batch, tokens, heads, dim] = t.shape, rows = batch * tokens
  const { kernel, width } = pickRowKernel(focusKernels, heads * dim)
  const threads = threadsPerRow(rows, width), out = empty(t.shape)
  launch(
    kernel,
    { t, positions: positions ?? t, sharpness: sharp, out },
    { rows, width, tokens, small, power },
    grid(Math.ceil(rows / (64 / threads))),
    { overrides: { THREADS: threads, PLACED: positions ? 1 : 0, CUBE: power === 3 ? 1 : 0 }, flops: 8 * t.size },
  )
  return out
}

// Loops over taps are written out, so each size has a text of its own; others go by the plain ops.
const localKernels: ReadonlyMap<number, { scalar: Kernel, vector: Kernel }> = new Map([3, 5, 7].map((taps) => {
  const made = (element: string) =>
    kernel('attention/local.wgsl', {
      buffers: ['v', 'w', 'bias', 'o'],
      params: ['size', 'side', 'channels', 'kinds'],
      splice: { '/*V*/f32': element, '/*taps*/5u': `${taps}u` },
      label: `${taps} x ${taps}, ${element}`,
    })
  return [taps, { scalar: made('f32'), vector: made('vec4f') }]
}))

/** Adds the local branch to `out`. */
function addLocal(
  v: Tensor,
  kernel: Tensor,
  bias: Tensor,
  out: Tensor,
  side: number,
  versions: { scalar: Kernel, vector: Kernel },
): void {
  const [batch, , heads, dim] = v.shape, taps = kernel.shape.at(-1)!
  const channels = heads * dim, kinds = bias.size
  // [taps, taps, kinds]: neighbouring channels lie side by side, as those of v.
  const w = permute(kernel.view([kinds, taps * taps]), { order: [1, 0] })
  const vectors = dim % 4 === 0, each = vectors ? 4 : 1
  const size = batch * side * Math.ceil(side / 4) * (channels / each)
  launch(
    vectors ? versions.vector : versions.scalar,
    { v, w, bias, o: out },
    { size, side, channels: channels / each, kinds: kinds / each },
    grid(Math.ceil(size / 64)),
    { flops: 2 * out.size * taps * taps },
  )
}

// Launches of kernels/rescale.wgsl, the only kernel that relevance adds.
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor } from '../core/tensor.ts'

const params = ['size', 'eps', 's', 't']
const one = (entry: string) => kernel('rescale.wgsl', { entry, buffers: ['c', 'z', 'q', 'out'], params })
const two = (entry: string) => kernel('rescale.wgsl', { entry, buffers: ['c', 'z', 'q', 'out', 'absolute'], params })
const ratioKernel = one('ratio')
const positiveKernel = one('positive')
const joinKernel = one('join')
const sideKernel = one('side')
const gammaKernel = two('gamma'), alphaBetaKernel = two('alpha_beta')

/** Every kernel of this file, for tests that compile them all. */
export const rescaleKernels = [ratioKernel, positiveKernel, joinKernel, sideKernel, gammaKernel, alphaBetaKernel]

function run(made: typeof ratioKernel, c: Tensor, z: Tensor, q: Tensor, eps = 0): Tensor {
  const out = empty(z.shape)
  launch(made, { c, z, q, out }, { size: z.size, eps, s: 0, t: 0 }, grid(Math.ceil(z.size / 256)))
  return out
}

function runPair(
  made: typeof ratioKernel,
  c: Tensor,
  z: Tensor,
  q: Tensor,
  eps: number,
  s: number,
  t: number,
): [Tensor, Tensor] {
  const out = empty(z.shape), absolute = empty(z.shape)
  launch(made, { c, z, q, out, absolute }, { size: z.size, eps, s, t }, grid(Math.ceil(z.size / 256)))
  return [out, absolute]
}

/** c z / (q ± eps), with the sign of q; all of one shape. */
export const rescale = (c: Tensor, z: Tensor, q: Tensor, eps: number): Tensor => run(ratioKernel, c, z, q, eps)

/** Factors [for W, for |W|] of the generalised gamma rule; z the output, a the sum of absolute contributions. */
export const gammaFactors = (c: Tensor, z: Tensor, a: Tensor, gamma: number, eps: number): [Tensor, Tensor] =>
  runPair(gammaKernel, c, z, a, eps, gamma, 0)

/** Factors [for W, for |W|] of the alpha-beta rule. */
export const alphaBetaFactors = (
  c: Tensor,
  z: Tensor,
  a: Tensor,
  alpha: number,
  beta: number,
  eps: number,
): [Tensor, Tensor] => runPair(alphaBetaKernel, c, z, a, eps, alpha, beta)

/** c z over the positive part (z + a) / 2; 0 where there is none. */
export const overPositive = (c: Tensor, z: Tensor, a: Tensor, eps: number): Tensor => run(positiveKernel, c, z, a, eps)

/** first + sign(x) second. */
export const join = (first: Tensor, x: Tensor, second: Tensor): Tensor => run(joinKernel, first, x, second)

/** `first` where x >= 0, else `second`. */
export const bySide = (x: Tensor, first: Tensor, second: Tensor): Tensor => run(sideKernel, first, x, second)

// What becomes of a convolution's sums at inference: by the kernel that makes them, or in a pass of its own.
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { kernel, type Kernel, type Overrides } from '../../gpu/kernel.ts'

/** In this order: times a scale plus a shift [outputs, 2], plus a residual of the output's shape, relu. */
export interface Finish {
  factors: Tensor | null
  residual: Tensor | null
  relu: boolean
}

/** The overrides of conv2d/finish-sums.wgsl. */
export function finishOverrides(finish: Finish | null): Overrides {
  const { factors = null, residual = null, relu = false } = finish ?? {}
  return factors || residual || relu
    ? { AFFINE: factors ? 1 : 0, RESIDUAL: residual ? 1 : 0, RELU: relu ? 1 : 0 }
    : {}
}

/** Its buffers; `unused` stands where there is none. */
export const finishBuffers = (finish: Finish | null, unused: Tensor) => ({
  factors: finish?.factors ?? unused,
  residual: finish?.residual ?? unused,
})

const finishKernel = (vectors: boolean): Kernel =>
  kernel('conv2d/finish.wgsl', {
    buffers: ['y', 'residual', 'factors'],
    params: ['planes', 'channels', 'plane'],
    splice: { '/*element*/f32': vectors ? 'vec4f' : 'f32' },
    label: vectors ? '' : 'unaligned',
  })
const finishKernels = { vectors: finishKernel(true), entries: finishKernel(false) }
const EACH = 16

/** Finishes y [batch, channels, height, width] where it lies. */
export function finishInPlace(y: Tensor, finish: Finish): void {
  const { factors, residual } = finish
  if (!factors && !residual && !finish.relu) return
  const [batch, channels, height, width] = y.shape, vectors = height * width % 4 === 0
  const plane = height * width / (vectors ? 4 : 1), planes = batch * channels
  // What is not asked for still wants a buffer, and not the one that is written.
  const other = factors ?? residual ?? empty([2])
  launch(
    finishKernels[vectors ? 'vectors' : 'entries'],
    { y, residual: residual ?? other, factors: factors ?? other },
    { planes, channels, plane },
    grid(Math.ceil(planes * Math.ceil(plane / EACH) / 64)),
    { overrides: { EACH, ...finishOverrides(finish) }, flops: 2 * y.size },
  )
}

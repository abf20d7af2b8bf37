// Tensors filled or copied on the device, without a round trip to the host.
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from './launch.ts'
import { empty, type Tensor } from './tensor.ts'

const fillKernel = kernel('fill.wgsl', { entry: 'fill', buffers: ['out'], params: ['size', 'value'] })
const copyKernel = kernel('fill.wgsl', { entry: 'copy', buffers: ['x', 'out'], params: ['size', 'value'] })

/** A tensor of one value (f32). `exact` allocates outside the size classes, for what lives as long as the model. */
export function full(shape: readonly number[], value: number, exact = false): Tensor {
  const out = empty(shape, 'f32', exact)
  launch(fillKernel, { out }, { size: out.size, value }, grid(Math.ceil(out.size / 256)))
  return out
}

/** A tensor of zeros (f32). */
export function zeros(shape: readonly number[], exact = false): Tensor {
  return full(shape, 0, exact)
}

/** A copy with a buffer of its own, of any dtype. Not recorded on a tape. */
export function copyOf(x: Tensor, exact = false): Tensor {
  const out = empty(x.shape, x.dtype, exact)
  copyInto(x, out)
  return out
}

/** Overwrites `out` with `x`; both have the same size and dtype. */
export function copyInto(x: Tensor, out: Tensor): void {
  launch(copyKernel, { x, out }, { size: x.size, value: 0 }, grid(Math.ceil(x.size / 256)))
}

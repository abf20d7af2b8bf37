// Convolution with windows of one pixel, where planes are whole blocks of sixteen: for the embedded device. Nothing is
// copied, neither images nor weights.
import { grid, launch } from '../../core/launch.ts'
import { kernel } from '../../gpu/kernel.ts'
import { flopsOfPixels, type PixelWork } from './convolution.ts'
import { finishBuffers, finishOverrides } from './finish.ts'

const BLOCK = 16

/** The kernel that reads and writes blocks of planes. */
export const planesKernel = kernel('conv2d/planes.wgsl', {
  buffers: ['x', 'w', 'bias', 'y', 'factors', 'residual'],
  params: ['images', 'groups', 'outputs', 'channels', 'blocks', 'w_group', 'w_output', 'w_channel', 'has_bias'],
})

/** Whether every output pixel reads the input pixel at its place, and planes are whole blocks. */
export function fitsPlanes({ to: { images, tapsY, tapsX, start, pixels, out, step } }: PixelWork): boolean {
  if (tapsY.count * tapsX.count !== 1 || [tapsY.stride, tapsX.stride, ...step].some((n) => n !== 1)) return false
  if (start[0] !== 0 || start[1] !== 0 || pixels[0] !== out.shape[2] || pixels[1] !== out.shape[3]) return false
  const plane = pixels[0] * pixels[1]
  return plane % BLOCK === 0 && images.inPlace()?.channel === plane
}

/** Pixels times weights (plus bias) into `to.out`. */
export function planesPixels(work: PixelWork): void {
  const { to: { images, batch, pixels, out, bias, finish = null }, w, order } = work
  const { groups, outputs, channels } = order, blocks = pixels[0] * pixels[1] / BLOCK
  launch(
    planesKernel,
    { x: images.inPlace()!.data, w, bias: bias ?? w, y: out, ...finishBuffers(finish, images.inPlace()!.data) },
    {
      images: batch,
      groups,
      outputs,
      channels,
      blocks,
      w_group: order.groupStride,
      w_output: order.outputStride,
      w_channel: order.channelStride,
      has_bias: bias ? 1 : 0,
    },
    grid(Math.ceil(outputs / 64) * Math.ceil(batch * groups * blocks / 4)),
    { overrides: finishOverrides(finish), flops: flopsOfPixels(work) },
  )
}

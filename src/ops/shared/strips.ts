// Weights in strips of sixteen outputs: the order in which they are read by kernels of the embedded device that keep
// their sums in registers.
import { derived } from '../../core/derived.ts'
import { grid, launch } from '../../core/launch.ts'
import type { Tensor } from '../../core/tensor.ts'
import { kernel } from '../../gpu/kernel.ts'

/** Where each weight comes from; of a matrix [N, K] outputs are N, channels K, and there is one tap. */
export interface StripOrder {
  groups: number
  outputs: number
  channels: number
  tapsY: number
  tapsX: number
  groupStride: number
  outputStride: number
  channelStride: number
  width: number
  firstY: number
  stepY: number
  firstX: number
  stepX: number
}

/** Outputs of a strip. */
export const STRIP = 16

/** What kernels that write strips are told of a group, by `placesIn`. */
export const placeParams = [
  'strips',
  'outputs',
  'channels',
  'output_stride',
  'channel_stride',
  'width',
  'first_y',
  'step_y',
  'first_x',
  'step_x',
]

/** Where the weights of a group stand, for kernels that write strips. */
export const placesIn = (order: Omit<StripOrder, 'groups' | 'groupStride' | 'tapsY' | 'tapsX'>) => ({
  strips: Math.ceil(order.outputs / STRIP),
  outputs: order.outputs,
  channels: order.channels,
  output_stride: order.outputStride,
  channel_stride: order.channelStride,
  width: order.width,
  first_y: order.firstY,
  step_y: order.stepY,
  first_x: order.firstX,
  step_x: order.stepX,
})

const stripsKernel = kernel('shared/strips.wgsl', {
  buffers: ['w', 'out'],
  params: ['size', 'taps_y', 'taps_x', 'group_stride', ...placeParams],
})

/** Weights in strips of outputs, kept with them: [groups, strips, taps, channels, 16]. */
export function stripsOf(w: Tensor, order: StripOrder): Tensor {
  const { groups, channels, tapsY, tapsX, groupStride } = order, places = placesIn(order)
  const shape = [groups, places.strips, tapsY * tapsX, channels, STRIP], size = groups * places.strips * channels
  const params = { size, taps_y: tapsY, taps_x: tapsX, group_stride: groupStride, ...places }
  return derived(w, `strips ${Object.values(params).join()}`, shape, (w, out) => {
    launch(stripsKernel, { w, out }, params, grid(Math.ceil(size / 64)))
  })
}

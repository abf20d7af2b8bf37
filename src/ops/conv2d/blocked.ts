// Convolution as a product of operands that lie in storage as they are read: for the embedded device.
import { grid, launch } from '../../core/launch.ts'
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { flopsOfPixels, type PixelWork } from './convolution.ts'
import { STRIP, stripsOf } from '../shared/strips.ts'

const params = [
  'M',
  'groups',
  'strips',
  'outputs',
  'runs',
  'length',
  'runs_x',
  'run_y',
  'run_x',
  'width',
  'pixels',
  'image',
  'row',
  'column',
  'start',
  'group',
  'height_out',
  'width_out',
  'first_y',
  'step_y',
  'first_x',
  'step_x',
  'has_bias',
]

const store = {
  vectors: `fn put(m: u32, g: u32, output: u32, s: vec4f, t: vec4f, u: vec4f, v: vec4f) {
  let plane = p.height_out * p.width_out;
  for (var j = 0u; j < 4u; j++) {
    let o = g * p.outputs + output + j;
    if (output + j < p.outputs) {
      var sums = vec4f(s[j], t[j], u[j], v[j]);
      if (p.has_bias != 0u) { sums += bias[o]; }
      y[(place_of(m) + o * plane) / 4u] = sums;
    }
  }
}`,
  entries: `fn put(m: u32, g: u32, output: u32, s: vec4f, t: vec4f, u: vec4f, v: vec4f) {
  let plane = p.height_out * p.width_out;
  let places = vec4u(place_of(m), place_of(m + 1u), place_of(m + 2u), place_of(m + 3u));
  for (var j = 0u; j < 4u; j++) {
    let o = g * p.outputs + output + j;
    if (output + j < p.outputs) {
      var sums = vec4f(s[j], t[j], u[j], v[j]);
      if (p.has_bias != 0u) { sums += bias[o]; }
      y[places.x + o * plane] = sums.x;
      if (m + 1u < p.M) { y[places.y + o * plane] = sums.y; }
      if (m + 2u < p.M) { y[places.z + o * plane] = sums.z; }
      if (m + 3u < p.M) { y[places.w + o * plane] = sums.w; }
    }
  }
}`,
}

/** Multiplies windows with strips; `vectors` writes four neighbouring pixels at once. */
const blockedKernel = (vectors: boolean): Kernel =>
  kernel('conv2d/blocked.wgsl', {
    buffers: ['x', 'w', 'bias', 'y'],
    params,
    splice: { '/*element*/f32': vectors ? 'vec4f' : 'f32', '/*store*/': store[vectors ? 'vectors' : 'entries'] },
    label: vectors ? '' : 'unaligned',
  })
/** One writes four neighbouring pixels at once, the other each by itself. */
export const blockedKernels = { vectors: blockedKernel(true), entries: blockedKernel(false) }

/** Pixels times weights (plus bias) into `to.out`. */
export function blockedPixels(work: PixelWork): void {
  const { to: { images, batch, tapsY, tapsX, start, pixels, out, first, step, bias }, w, order } = work
  const { groups, outputs, channels } = order, strips = Math.ceil(outputs / STRIP)
  const { data, image, row, column } = images.channelsLast()
  // Taps side by side are one run through memory where nothing lies between them.
  const joined = groups === 1 && tapsX.dilation === 1
  const [runs, length] = joined ? [tapsY.count, tapsX.count * channels] : [tapsY.count * tapsX.count, channels]
  const [height, width] = pixels, [, , heightOut, widthOut] = out.shape, M = batch * height * width
  const whole = height === heightOut && width === widthOut && height * width % 4 === 0
  const packed = stripsOf(w, { ...order, tapsY: tapsY.count, tapsX: tapsX.count, stepX: order.stepPart })
  launch(
    blockedKernels[whole ? 'vectors' : 'entries'],
    { x: data, w: packed, bias: bias ?? packed, y: out },
    {
      M,
      groups,
      strips,
      outputs,
      runs,
      length,
      runs_x: joined ? 1 : tapsX.count,
      run_y: tapsY.dilation * row,
      run_x: tapsX.dilation * column,
      width,
      pixels: height * width,
      image,
      row: tapsY.stride * row,
      column: tapsX.stride * column,
      start: start[0] * row + start[1] * column,
      group: channels,
      height_out: heightOut,
      width_out: widthOut,
      first_y: first[0],
      step_y: step[0],
      first_x: first[1],
      step_x: step[1],
      has_bias: bias ? 1 : 0,
    },
    grid(groups * Math.ceil(strips / 4) * Math.ceil(M / 64)),
    { flops: flopsOfPixels(work) },
  )
}

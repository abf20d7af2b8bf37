// Convolution as a product of operands that lie in storage as they are read: for the embedded device.
import { grid, launch } from '../../core/launch.ts'
import { kernel, type Kernel } from '../../gpu/kernel.ts'
import { flopsOfPixels, type PixelWork } from './convolution.ts'
import { finishBuffers, finishOverrides } from './finish.ts'
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
  'channel',
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
      sums = scaled(sums, o);
      if (RESIDUAL == 1u) { sums += residual[(place_of(m) + o * plane) / 4u]; }
      sums = rectified(sums);
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
      sums = scaled(sums, o);
      let to = places + o * plane;
      if (RESIDUAL == 1u) { sums += vec4f(residual[to.x], residual[to.y], residual[to.z], residual[to.w]); }
      sums = rectified(sums);
      y[to.x] = sums.x;
      if (m + 1u < p.M) { y[to.y] = sums.y; }
      if (m + 2u < p.M) { y[to.z] = sums.z; }
      if (m + 3u < p.M) { y[to.w] = sums.w; }
    }
  }
}`,
}

/** Multiplies windows with strips; `vectors` writes four neighbouring pixels, `planes` reads images as they are. */
const blockedKernel = (vectors: boolean, planes: boolean): Kernel =>
  kernel('conv2d/blocked.wgsl', {
    buffers: ['x', 'w', 'bias', 'y', 'factors', 'residual'],
    params,
    splice: {
      '/*element*/f32': vectors ? 'vec4f' : 'f32',
      '/*store*/': store[vectors ? 'vectors' : 'entries'],
      ...planes ? { '/*channel*/k': 'k * p.channel' } : {},
    },
    label: [planes ? 'in place' : '', vectors ? '' : 'unaligned'].filter(Boolean).join(' '),
  })

/** By how they write: four neighbouring pixels at once, or each by itself; and by what they read. */
export const blockedKernels = {
  last: { vectors: blockedKernel(true, false), entries: blockedKernel(false, false) },
  planes: { vectors: blockedKernel(true, true), entries: blockedKernel(false, true) },
}

/** Pixels times weights (plus bias) into `to.out`. */
export function blockedPixels(work: PixelWork): void {
  const { to: { images, batch, tapsY, tapsX, start, pixels, out, first, step, bias, finish = null }, w, order } = work
  const { groups, outputs, channels } = order, strips = Math.ceil(outputs / STRIP)
  const one = tapsY.count * tapsX.count === 1, planes = one ? images.inPlace() : null
  const { data, image, row, column, channel } = planes ?? images.channelsLast()
  // Taps side by side are one run through memory where nothing lies between them.
  const joined = groups === 1 && tapsX.dilation === 1
  const [runs, length] = joined ? [tapsY.count, tapsX.count * channels] : [tapsY.count * tapsX.count, channels]
  const [height, width] = pixels, [, , heightOut, widthOut] = out.shape, M = batch * height * width
  const whole = height === heightOut && width === widthOut && height * width % 4 === 0
  const packed = stripsOf(w, { ...order, tapsY: tapsY.count, tapsX: tapsX.count, stepX: order.stepPart })
  launch(
    blockedKernels[planes ? 'planes' : 'last'][whole ? 'vectors' : 'entries'],
    { x: data, w: packed, bias: bias ?? packed, y: out, ...finishBuffers(finish, packed) },
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
      group: channels * channel,
      channel,
      height_out: heightOut,
      width_out: widthOut,
      first_y: first[0],
      step_y: step[0],
      first_x: first[1],
      step_x: step[1],
      has_bias: bias ? 1 : 0,
    },
    grid(groups * Math.ceil(strips / 4) * Math.ceil(M / 64)),
    { overrides: finishOverrides(finish), flops: flopsOfPixels(work) },
  )
}

// Convolution as an implicit matrix product in registers: an invocation makes 4 TM output channels of TN neighbouring pixels.
// For drivers without fast workgroup memory; conv2d_tiled.wgsl is its sibling for the others.
// x: [batch, groups, channels, rows, parts, columns], padded by conv2d_layout.wgsl, or the plain image where it needs no padding
// w: [groups, tiles, channels, taps_y, parts, TAPS, TM] of vec4f over output channels, packed by conv2d_layout.wgsl
// bias: [groups, outputs]   y: [batch, groups, outputs, height_out, width_out], pixel (i, j) at row first_y + i step_y; likewise
// for columns. With spread_y x spread_x > 1 an output number is (channel, u, v), and u, v shift the pixel: that is how the
// gradient of a convolution without overlap (patch embedding) reaches the image.

// The launcher writes these numbers anew for every variant: arrays in registers want constants.
const TM = 2u;        // vectors of output channels
const TN = 8u;        // pixels
const TAPS = 3u;      // horizontal taps that share their loads
override LANES: u32 = 64;

struct Params {
  jobs: u32, groups: u32, tiles: u32, outputs: u32, channels: u32, taps_y: u32, parts: u32,
  height: u32, width: u32, row_tiles: u32,
  batch_stride: u32, plane: u32, row: u32, part_stride: u32, stride_y: u32, stride_x: u32, dilation_y: u32, dilation_x: u32, start: u32,
  height_out: u32, width_out: u32, first_y: i32, step_y: i32, first_x: i32, step_x: i32, spread_y: u32, spread_x: u32, dilate_y: u32, dilate_x: u32,
  has_bias: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let number = group.y * groups.x + group.x;
  let all_tiles = p.groups * p.tiles;
  let tile = number % all_tiles;
  let job = number / all_tiles * LANES + lane;
  if (job >= p.jobs) { return; }
  let column = job % p.row_tiles * TN;
  let i = job / p.row_tiles % p.height;
  let n = job / (p.row_tiles * p.height);
  let g = tile / p.tiles;

  var sum: array<vec4f, TM * TN>;
  var at_w = tile * p.channels * p.taps_y * p.parts * TAPS * TM;
  var at_c = n * p.batch_stride + g * p.channels * p.plane + p.start + i * p.stride_y * p.row + column;
  for (var c = 0u; c < p.channels; c++) {
    var at_y = at_c;
    for (var u = 0u; u < p.taps_y; u++) {
      for (var part = 0u; part < p.parts; part++) {
        let shift = part * p.dilation_x;
        let at = at_y + shift % p.stride_x * p.part_stride + shift / p.stride_x;
        var pixels: array<f32, TN + TAPS - 1u>;
        for (var t = 0u; t < TN + TAPS - 1u; t++) { pixels[t] = x[at + t]; }
        for (var v = 0u; v < TAPS; v++) {
          for (var m = 0u; m < TM; m++) {
            let weight = w[at_w + v * TM + m];
            for (var t = 0u; t < TN; t++) { sum[m * TN + t] = fma(weight, vec4f(pixels[t + v]), sum[m * TN + t]); }
          }
        }
        at_w += TAPS * TM;
      }
      at_y += p.dilation_y * p.row;
    }
    at_c += p.plane;
  }

  let spread = p.spread_y * p.spread_x;
  for (var m = 0u; m < 4u * TM; m++) {
    let output = tile % p.tiles * 4u * TM + m;
    let row = p.first_y + i32(i) * p.step_y + i32(output / p.spread_x % p.spread_y * p.dilate_y);
    if (output < p.outputs && row >= 0 && row < i32(p.height_out)) {
      let plane = (n * p.groups + g) * (p.outputs / spread) + output / spread;
      let base = (plane * p.height_out + u32(row)) * p.width_out;
      let first = p.first_x + i32(output % p.spread_x * p.dilate_x);
      var start = 0.0;
      if (p.has_bias != 0u) { start = bias[g * p.outputs + output]; }
      for (var t = 0u; t < TN; t++) {
        let to = first + i32(column + t) * p.step_x;
        if (column + t < p.width && to >= 0 && to < i32(p.width_out)) { y[base + u32(to)] = sum[m / 4u * TN + t][m % 4u] + start; }
      }
    }
  }
}

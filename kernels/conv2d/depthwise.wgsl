// Depthwise convolution: every channel with its own kernel, TN neighbouring pixels of a row per invocation.
// x: [batch, channels, height, width]   w: [channels, taps_y, taps_x]   y: [batch, channels, rows, columns]
// With `reverse` the kernel is read backwards: that is the gradient to the input where the stride is 1.

struct Params {
  planes: u32, channels: u32, height: u32, width: u32, rows: u32, columns: u32, taps_y: u32, taps_x: u32,
  stride_y: u32, stride_x: u32, padding_y: i32, padding_x: i32, dilation_y: u32, dilation_x: u32, reverse: u32,
    has_bias: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;
override THREADS: u32 = 64;
const TN = 8u;

fn pixel(base: u32, column: i32) -> f32 {
  return select(0.0, x[base + u32(clamp(column, 0, i32(p.width) - 1))], column >= 0 && column < i32(p.width));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let job = (group.y * groups.x + group.x) * THREADS + lane;
  let tiles = (p.columns + TN - 1u) / TN;
  let line = job / tiles;
  let plane = line / p.rows;
  if (plane >= p.planes) { return; }
  let i = line % p.rows;
  let j = job % tiles * TN;
  let channel = plane % p.channels;

  var sum: array<f32, TN>;
  if (p.has_bias != 0u) {
    let start = bias[channel];
    for (var t = 0u; t < TN; t++) { sum[t] = start; }
  }
  let taps = p.taps_y * p.taps_x;
  let first_w = channel * taps + select(0u, taps - 1u, p.reverse != 0u);
  for (var u = 0u; u < p.taps_y; u++) {
    let row = i32(i * p.stride_y + u * p.dilation_y) - p.padding_y;
    if (row < 0 || row >= i32(p.height)) { continue; }
    let base = (plane * p.height + u32(row)) * p.width;
    let left = i32(j * p.stride_x) - p.padding_x;
    var pixels: array<f32, TN>;
    if (p.stride_x == 1u && p.dilation_x == 1u) {
      // A window of TN pixels slides over the taps, so that each pixel is read once.
      for (var t = 1u; t < TN; t++) { pixels[t] = pixel(base, left + i32(t) - 1); }
      for (var v = 0u; v < p.taps_x; v++) {
        for (var t = 1u; t < TN; t++) { pixels[t - 1u] = pixels[t]; }
        pixels[TN - 1u] = pixel(base, left + i32(TN - 1u + v));
        let k = u * p.taps_x + v;
        let weight = w[select(first_w + k, first_w - k, p.reverse != 0u)];
        for (var t = 0u; t < TN; t++) { sum[t] = fma(weight, pixels[t], sum[t]); }
      }
    } else {
      for (var v = 0u; v < p.taps_x; v++) {
        let k = u * p.taps_x + v;
        let weight = w[select(first_w + k, first_w - k, p.reverse != 0u)];
        for (var t = 0u; t < TN; t++) {
          sum[t] = fma(weight, pixel(base, left + i32(t * p.stride_x + v * p.dilation_x)), sum[t]);
        }
      }
    }
  }
  let to = line * p.columns + j;
  for (var t = 0u; t < TN; t++) {
    if (j + t < p.columns) { y[to + t] = sum[t]; }
  }
}

// Gradient of a depthwise convolution to its weight. An invocation makes TAPS neighbouring taps of a row of one kernel,
// summed over a split of the image rows.
// x: [batch, channels, height, width]   dy: [batch, channels, rows, columns]   dw: [splits, channels, taps_y, taps_x]

struct Params {
  jobs: u32, per_split: u32, batch: u32, channels: u32, height: u32, width: u32, rows: u32, columns: u32, taps_y: u32,
    taps_x: u32,
  stride_y: u32, stride_x: u32, padding_y: i32, padding_x: i32, dilation_y: u32, dilation_x: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;
override THREADS: u32 = 64;
const TAPS = 8u;

fn pixel(base: u32, column: i32) -> f32 {
  return select(0.0, x[base + u32(clamp(column, 0, i32(p.width) - 1))], column >= 0 && column < i32(p.width));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let job = (group.y * groups.x + group.x) * THREADS + lane;
  if (job >= p.jobs) { return; }
  let groups_of_taps = (p.taps_x + TAPS - 1u) / TAPS;
  let first = job % groups_of_taps * TAPS;
  var rest = job / groups_of_taps;
  let u = rest % p.taps_y;
  rest /= p.taps_y;
  let channel = rest % p.channels;
  let split = rest / p.channels;

  var sum: array<f32, TAPS>;
  // Declared out here and cleared in each turn: lavapipe gave wrong sums for arrays declared inside the loop.
  var pixels: array<f32, TAPS>;
  var part: array<f32, TAPS>;
  let last = min((split + 1u) * p.per_split, p.batch * p.rows);
  for (var image_row = split * p.per_split; image_row < last; image_row++) {
    let i = image_row % p.rows;
    let row = i32(i * p.stride_y + u * p.dilation_y) - p.padding_y;
    if (row < 0 || row >= i32(p.height)) { continue; }
    let plane = image_row / p.rows * p.channels + channel;
    let base = (plane * p.height + u32(row)) * p.width;
    let base_y = (plane * p.rows + i) * p.columns;
    let left = i32(first * p.dilation_x) - p.padding_x;
    for (var v = 0u; v < TAPS; v++) { part[v] = 0.0; }
    if (p.stride_x == 1u && p.dilation_x == 1u) {
      // The taps slide along the row: each step reads one pixel.
      for (var v = 1u; v < TAPS; v++) { pixels[v] = pixel(base, left + i32(v) - 1); }
      for (var j = 0u; j < p.columns; j++) {
        for (var v = 1u; v < TAPS; v++) { pixels[v - 1u] = pixels[v]; }
        pixels[TAPS - 1u] = pixel(base, left + i32(j + TAPS - 1u));
        let grad = dy[base_y + j];
        for (var v = 0u; v < TAPS; v++) { part[v] = fma(grad, pixels[v], part[v]); }
      }
    } else {
      for (var j = 0u; j < p.columns; j++) {
        let grad = dy[base_y + j];
        for (var v = 0u; v < TAPS; v++) {
          part[v] = fma(grad, pixel(base, left + i32(j * p.stride_x + v * p.dilation_x)), part[v]);
        }
      }
    }
    for (var v = 0u; v < TAPS; v++) { sum[v] += part[v]; }
  }
  let to = ((split * p.channels + channel) * p.taps_y + u) * p.taps_x + first;
  for (var v = 0u; v < TAPS; v++) {
    if (first + v < p.taps_x) { dw[to + v] = sum[v]; }
  }
}

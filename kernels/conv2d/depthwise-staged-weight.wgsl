// Gradient of a depthwise convolution to its weight, of planes that are staged in workgroup memory: for the embedded
// device, where one invocation makes all taps of a channel, summed over a split of the images.
// x: [batch, channels, height, width]  dy: [batch, channels, rows, columns]   dw: [splits, channels, taps_y, TAPS_X]

// The launcher writes these numbers anew for every kind of window: what is unrolled wants constants.
const TAPS_X = 3u;
const ROWS = 3u;        // rows of taps at a time, a divisor of taps_y
const STRIDE_Y = 1u;
const STRIDE_X = 1u;
const DILATION_Y = 1u;
const DILATION_X = 1u;
const STEP_Y = 1u;      // distance of the pixels, between which are zeros
const STEP_X = 1u;
const PARTS_Y = 1u;     // remainders modulo the stride that taps have
const PARTS_X = 1u;
const QUADS = 2u;       // vectors that the taps of a part reach from one

struct Params {
  splits: u32, per_split: u32, batch: u32, channels: u32, source_rows: u32, source_columns: u32, height: u32,
  width: u32, rows: u32, columns: u32, taps_y: u32, top: i32, left: i32, chunk: u32, chunks: u32, part_rows: u32,
  wide: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;
override TILE: u32 = 256;
override MADE: u32 = 256;
override TOTAL: u32 = 16;
var<workgroup> tile: array<vec4f, TILE>;
var<workgroup> grads: array<vec4f, MADE>;   // rows of dy, as wide as those of the tile, zero beyond the last column
var<workgroup> total: array<vec4f, TOTAL>;
// #include depthwise-stage.wgsl

fn stage_gradients(plane: u32, first: u32, rows: u32) {
  for (var r = 0u; r < rows; r++) {
    let source = (plane * p.rows + first + r) * p.columns;
    let to = r * p.wide;
    for (var q = 0u; q < p.columns / 4u; q++) {
      let s = source + 4u * q;
      grads[to + q] = vec4f(dy[s], dy[s + 1u], dy[s + 2u], dy[s + 3u]);
    }
    if (p.columns % 4u != 0u) {
      let s = source + p.columns / 4u * 4u;
      let rest = p.columns % 4u;
      grads[to + p.columns / 4u] = vec4f(dy[s], select(0.0, dy[s + min(1u, rest - 1u)], rest > 1u),
        select(0.0, dy[s + min(2u, rest - 1u)], rest > 2u), 0.0);
    }
  }
}

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let number = group.y * groups.x + group.x;
  if (number >= p.splits * p.channels) { return; }
  let channel = number % p.channels;
  let split = number / p.channels;
  let last = min((split + 1u) * p.per_split, p.batch * p.chunks);
  for (var piece = split * p.per_split; piece < last; piece++) {
    let plane = piece / p.chunks * p.channels + channel;
    let first = piece % p.chunks * p.chunk;
    let rows = min(p.chunk, p.rows - first);
    stage(plane, first);
    stage_gradients(plane, first, rows);
    for (var u = 0u; u < p.taps_y; u += ROWS) {
      var at: array<u32, ROWS>;
      for (var k = 0u; k < ROWS; k++) { at[k] = row_of(u + k); }
      var sums: array<vec4f, ROWS * TAPS_X>;
      for (var k = 0u; k < ROWS * TAPS_X; k++) { sums[k] = vec4f(0.0); }
      for (var q = 0u; q < rows * p.wide; q++) {
        let grad = grads[q];
        for (var k = 0u; k < ROWS; k++) {
          // #include depthwise-pieces.wgsl
          for (var v = 0u; v < TAPS_X; v++) {
            let n = v * DILATION_X % STRIDE_X * QUADS * 4u + v * DILATION_X / STRIDE_X;
            let pixels = vec4f(pieces[n / 4u][n % 4u], pieces[(n + 1u) / 4u][(n + 1u) % 4u],
              pieces[(n + 2u) / 4u][(n + 2u) % 4u], pieces[(n + 3u) / 4u][(n + 3u) % 4u]);
            sums[k * TAPS_X + v] = fma(grad, pixels, sums[k * TAPS_X + v]);
          }
        }
      }
      for (var k = 0u; k < ROWS * TAPS_X; k++) { total[u * TAPS_X + k] += sums[k]; }
    }
  }
  let to = (split * p.channels + channel) * p.taps_y * TAPS_X;
  for (var k = 0u; k < p.taps_y * TAPS_X; k++) { dw[to + k] = dot(total[k], vec4f(1.0)); }
}

// Depthwise convolution of planes that are staged in workgroup memory: for the embedded device, where one invocation
// makes a plane, or rows of it, in one loop over vectors. Forward, and with `reverse` the gradient to the input.
// x: [planes, source_rows, source_columns], height x width with the zeros between them
// w: [channels, taps_y, TAPS_X]   y: [planes, rows, columns]

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
  planes: u32, channels: u32, source_rows: u32, source_columns: u32, height: u32, width: u32, rows: u32, columns: u32,
  taps_y: u32, top: i32, left: i32, chunk: u32, chunks: u32, part_rows: u32, wide: u32, reverse: u32, has_bias: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array</*element*/f32>;
@group(0) @binding(4) var<uniform> p: Params;
override TILE: u32 = 256;
override MADE: u32 = 256;
var<workgroup> tile: array<vec4f, TILE>;
var<workgroup> made: array<vec4f, MADE>;   // sums of the rows, as wide as those of the tile
// #include depthwise-stage.wgsl

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let number = group.y * groups.x + group.x;
  let plane = number / p.chunks;
  if (plane >= p.planes) { return; }
  let first = (number - plane * p.chunks) * p.chunk;
  let rows = min(p.chunk, p.rows - first);
  let channel = plane % p.channels;
  stage(plane, first);

  let taps = p.taps_y * TAPS_X;
  let first_w = channel * taps + select(0u, taps - 1u, p.reverse != 0u);
  for (var u = 0u; u < p.taps_y; u += ROWS) {
    var weights: array<vec4f, ROWS * TAPS_X>;
    for (var k = 0u; k < ROWS * TAPS_X; k++) {
      let tap = u * TAPS_X + k;
      weights[k] = vec4f(w[select(first_w + tap, first_w - tap, p.reverse != 0u)]);
    }
    var at: array<u32, ROWS>;
    for (var k = 0u; k < ROWS; k++) { at[k] = row_of(u + k); }
    for (var q = 0u; q < rows * p.wide; q++) {
      var sum = made[q];
      for (var k = 0u; k < ROWS; k++) {
        // #include depthwise-pieces.wgsl
        for (var v = 0u; v < TAPS_X; v++) {
          let n = v * DILATION_X % STRIDE_X * QUADS * 4u + v * DILATION_X / STRIDE_X;
          let pixels = vec4f(pieces[n / 4u][n % 4u], pieces[(n + 1u) / 4u][(n + 1u) % 4u],
            pieces[(n + 2u) / 4u][(n + 2u) % 4u], pieces[(n + 3u) / 4u][(n + 3u) % 4u]);
          sum = fma(weights[k * TAPS_X + v], pixels, sum);
        }
      }
      made[q] = sum;
    }
  }

  var start = 0.0;
  if (p.has_bias != 0u) { start = bias[channel]; }
  for (var r = 0u; r < rows; r++) {
    let to = (plane * p.rows + first + r) * p.columns;
    /*store*/
  }
}

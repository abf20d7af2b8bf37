// Convolution as an implicit matrix product in registers: an invocation makes 4 TM output channels of TN neighbouring
// pixels. For software drivers and the embedded device; conv2d/tiled.wgsl is its sibling for GPUs. x: [batch, groups,
// channels, rows, parts, columns], padded by conv2d/layout.wgsl, or the plain image where it needs no padding w:
// [groups, tiles, rows of taps, TAPS, TM] of vec4f over output channels, packed by conv2d/layout.wgsl offsets: [rows of
// taps], how far a row of TAPS neighbouring taps is from the first one
// bias: [groups, outputs]   y: [batch, groups, outputs, height_out, width_out], pixel (i, j) at row first_y + i step_y;
// likewise

// The launcher writes these numbers anew for every variant: arrays in registers want constants.
const TM = 2u;        // vectors of output channels
const TN = 8u;        // pixels
const TAPS = 3u;      // horizontal taps that share their loads
override THREADS: u32 = 64;

struct Params {
  jobs: u32, groups: u32, tiles: u32, outputs: u32, rows: u32, height: u32, width: u32, row_tiles: u32,
  batch_stride: u32, group_stride: u32, row: u32, start: u32,
  height_out: u32, width_out: u32, first_y: u32, step_y: u32, first_x: u32, step_x: u32, has_bias: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> offsets: array<vec2u>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = group.y * groups.x + group.x;
  let all_tiles = p.groups * p.tiles;
  let tile = number % all_tiles;
  let job = number / all_tiles * THREADS + lid;
  if (job >= p.jobs) { return; }
  let column = job % p.row_tiles * TN;
  let i = job / p.row_tiles % p.height;
  let n = job / (p.row_tiles * p.height);
  let g = tile / p.tiles;

  let first_output = tile % p.tiles * 4u * TM;

  var start: array<vec4f, TM>;
  if (p.has_bias != 0u) {
    for (var m = 0u; m < TM; m++) {
      let b = g * p.outputs + min(vec4u(first_output + 4u * m) + vec4u(0u, 1u, 2u, 3u), vec4u(p.outputs - 1u));
      start[m] = vec4f(bias[b.x], bias[b.y], bias[b.z], bias[b.w]);
    }
  }
  var sum: array<vec4f, TM * TN>;
  for (var s = 0u; s < TM * TN; s++) { sum[s] = start[s % TM]; }

  // One loop with much work in it: software drivers blend every register that a loop carries, at every turn and level.
  let first = n * p.batch_stride + g * p.group_stride + p.start + i * p.row + column;
  for (var r = 0u; r < p.rows; r++) {
    let at = first + offsets[r].x;
    let at_w = (tile * p.rows + r) * TAPS * TM;
    var pixels: array<f32, TN + TAPS - 1u>;
    for (var t = 0u; t < TN + TAPS - 1u; t++) { pixels[t] = x[at + t]; }
    for (var v = 0u; v < TAPS; v++) {
      for (var m = 0u; m < TM; m++) {
        let weight = w[at_w + v * TM + m];
        for (var t = 0u; t < TN; t++) { sum[t * TM + m] = fma(weight, vec4f(pixels[t + v]), sum[t * TM + m]); }
      }
    }
  }

  // A loop that shifts the sums instead of one that indexes them: unrolled stores would take a software driver seconds
  // to compile.
  let plane = p.height_out * p.width_out;
  var to = ((n * p.groups + g) * p.outputs + first_output) * plane + (p.first_y + i * p.step_y) * p.width_out
    + p.first_x + column * p.step_x;
  for (var t = 0u; t < min(TN, p.width - column); t++) {
    for (var m = 0u; m < 4u * TM; m++) {
      if (first_output + m < p.outputs) { y[to + m * plane] = sum[m / 4u][m % 4u]; }
    }
    for (var s = 0u; s < (TN - 1u) * TM; s++) { sum[s] = sum[s + TM]; }
    to += p.step_x;
  }
}

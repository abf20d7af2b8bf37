// Gradient of a convolution to its weight, in registers: an invocation makes 4 TM output channels x TC input channels x
// TAPS neighbouring taps, summed over a split of the image rows. x: [batch, groups, channels, rows, parts, columns],
// padded by conv2d/layout.wgsl or plain
// dy: [batch, groups, outputs, height, width]   dw: [splits, groups, outputs, channels, taps_y, kernel_x]

// The launcher writes these numbers anew for every variant: arrays in registers want constants.
const TM = 2u;        // vectors of output channels
const TC = 4u;        // input channels
const TAPS = 3u;      // horizontal taps that share their loads
const STEP = 2u;      // pixels at a time
override THREADS: u32 = 64;

struct Params {
  jobs: u32, splits: u32, per_split: u32, image_rows: u32, groups: u32, tiles: u32, outputs: u32, channel_tiles: u32,
    channels: u32,
  taps_y: u32, parts: u32, kernel_x: u32, step_tap: u32, height: u32, width: u32,
  batch_stride: u32, plane: u32, row: u32, next_part: u32, stride_y: u32, dilation_y: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * THREADS + lid;
  if (job >= p.jobs) { return; }
  var rest = job;
  let part = rest % p.parts;
  rest /= p.parts;
  let u = rest % p.taps_y;
  rest /= p.taps_y;
  let first_c = rest % p.channel_tiles * TC;
  rest /= p.channel_tiles;
  let first_m = rest % p.tiles * 4u * TM;
  rest /= p.tiles;
  let g = rest % p.groups;
  let split = rest / p.groups;

  let pixels = p.height * p.width;
  let at_tap = u * p.dilation_y * p.row + part * p.next_part;
  // Tiles that hang over the edge read the last channel again; what they make of it is not stored.
  var at_c: array<u32, TC>;
  for (var c = 0u; c < TC; c++) { at_c[c] = (g * p.channels + min(first_c + c, p.channels - 1u)) * p.plane + at_tap; }
  var at_m: array<u32, 4u * TM>;
  for (var m = 0u; m < 4u * TM; m++) { at_m[m] = (g * p.outputs + min(first_m + m, p.outputs - 1u)) * pixels; }

  var sum: array<vec4f, TC * TAPS * TM>;
  let last = min(p.image_rows, (split + 1u) * p.per_split);
  for (var image_row = split * p.per_split; image_row < last; image_row++) {
    let n = image_row / p.height;
    let i = image_row % p.height;
    let row_x = n * p.batch_stride + i * p.stride_y * p.row;
    let line_y = n * p.groups * p.outputs * pixels + i * p.width;
    for (var j = 0u; j < p.width; j += STEP) {
      // The last step may hang over the row: what is there reads the last column again and counts nothing.
      var grads: array<vec4f, STEP * TM>;
      for (var t = 0u; t < STEP; t++) {
        let at = line_y + min(j + t, p.width - 1u);
        for (var m = 0u; m < TM; m++) {
          let found = vec4f(dy[at + at_m[4u * m]], dy[at + at_m[4u * m + 1u]], dy[at + at_m[4u * m + 2u]],
            dy[at + at_m[4u * m + 3u]]);
          grads[t * TM + m] = select(vec4f(0.0), found, j + t < p.width);
        }
      }
      for (var c = 0u; c < TC; c++) {
        var values: array<f32, STEP + TAPS - 1u>;
        for (var t = 0u; t < STEP + TAPS - 1u; t++) {
          values[t] = x[row_x + at_c[c] + min(j + t, p.width + TAPS - 2u)];
        }
        for (var v = 0u; v < TAPS; v++) {
          for (var m = 0u; m < TM; m++) {
            var total = sum[(c * TAPS + v) * TM + m];
            for (var t = 0u; t < STEP; t++) { total = fma(grads[t * TM + m], vec4f(values[t + v]), total); }
            sum[(c * TAPS + v) * TM + m] = total;
          }
        }
      }
    }
  }

  // A loop that shifts the sums instead of one that indexes them: unrolled stores would take a software driver seconds
  // to compile.
  for (var k = 0u; k < min(TC, p.channels - first_c) * TAPS; k++) {
    let tap = part + k % TAPS * p.step_tap;
    let base = (((split * p.groups + g) * p.outputs + first_m) * p.channels + first_c + k / TAPS) * p.taps_y
      * p.kernel_x + u * p.kernel_x + tap;
    for (var m = 0u; m < 4u * TM; m++) {
      if (first_m + m < p.outputs && tap < p.kernel_x) {
        dw[base + m * p.channels * p.taps_y * p.kernel_x] = sum[m / 4u][m % 4u];
      }
    }
    for (var s = 0u; s < (TC * TAPS - 1u) * TM; s++) { sum[s] = sum[s + TM]; }
  }
}

// Convolution as an implicit matrix product with tiles in workgroup memory: 4 TM Y output channels of TN X pixels per
// workgroup. For GPUs; conv2d/registers.wgsl is its sibling without workgroup memory.
// x: [batch, groups, channels, ...], padded by conv2d/layout.wgsl or plain   w: the weights as they are   bias:
// [groups, outputs]

// The launcher writes these numbers anew for every variant: arrays in registers want constants.
const TM = 2u;        // vectors of output channels of an invocation
const TN = 4u;        // pixels of an invocation
const X = 16u;        // invocations along the pixels
const Y = 8u;         // and along the output channels
const STEP = 16u;     // inputs staged at a time
const THREADS = X * Y;
const COPIES = X * TN * STEP / THREADS;       // pixels that an invocation stages

struct Params {
  jobs: u32, groups: u32, tiles: u32, outputs: u32, depth: u32, height: u32, width: u32,
  batch_stride: u32, group_stride: u32, row: u32, start: u32, weight_group: u32, weight_output: u32,
  height_out: u32, width_out: u32, first_y: u32, step_y: u32, first_x: u32, step_x: u32, has_bias: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<vec2u>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;
var<workgroup> weights: array<vec4f, STEP * Y * TM>;
var<workgroup> pixels: array<f32, STEP * X * TN>;

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = group.y * groups.x + group.x;
  let all_tiles = p.groups * p.tiles;
  let tile = number % all_tiles;
  // workgroups beyond the last pixel compute its value and store nothing
  let first_job = number / all_tiles * X * TN;
  let g = tile / p.tiles;

  // This invocation stages input `staged_k` of every step, for pixels X TN / COPIES from each other.
  let distance = THREADS / STEP;
  let staged_k = lid / distance;
  var first: array<u32, COPIES>;
  for (var t = 0u; t < COPIES; t++) {
    let job = min(first_job + lid % distance + t * distance, p.jobs - 1u);
    let image_row = job / p.width;
    first[t] = image_row / p.height * p.batch_stride + g * p.group_stride + p.start + image_row % p.height * p.row
      + job % p.width;
  }

  let column = lid % X;
  let m = lid / X * TM;
  var sum: array<vec4f, TM * TN>;
  for (var k = 0u; k < p.depth; k += STEP) {
    // Weights: neighbours in k by neighbouring invocations. Outputs beyond the last one read it again and are not
    // stored.
    let weight_k = k + lid % STEP;
    let weight_at = g * p.weight_group + offsets[min(weight_k, p.depth - 1u)].y;
    for (var s = lid / STEP; s < Y * TM; s += distance) {
      let output = min(vec4u((tile % p.tiles * Y * TM + s) * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(p.outputs - 1u));
      let at = weight_at + output * p.weight_output;
      weights[lid % STEP * Y * TM + s] = select(vec4f(0.0), vec4f(w[at.x], w[at.y], w[at.z], w[at.w]),
        weight_k < p.depth);
    }
    let inside = k + staged_k < p.depth;
    let offset = offsets[min(k + staged_k, p.depth - 1u)].x;
    for (var t = 0u; t < COPIES; t++) {
      pixels[staged_k * X * TN + lid % distance + t * distance] = select(0.0, x[first[t] + offset], inside);
    }
    workgroupBarrier();
    for (var s = 0u; s < STEP; s++) {
      for (var i = 0u; i < TM; i++) {
        let weight = weights[s * Y * TM + m + i];
        for (var t = 0u; t < TN; t++) {
          sum[i * TN + t] = fma(weight, vec4f(pixels[s * X * TN + column + t * X]), sum[i * TN + t]);
        }
      }
    }
    workgroupBarrier();
  }

  let plane = p.height_out * p.width_out;
  for (var i = 0u; i < TM; i++) {
    let output = (tile % p.tiles * Y * TM + m + i) * 4u;
    var start = vec4f(0.0);
    if (p.has_bias != 0u) {
      let b = g * p.outputs + min(vec4u(output) + vec4u(0u, 1u, 2u, 3u), vec4u(p.outputs - 1u));
      start = vec4f(bias[b.x], bias[b.y], bias[b.z], bias[b.w]);
    }
    for (var t = 0u; t < TN; t++) {
      let job = first_job + column + t * X;
      if (job < p.jobs) {
        let image_row = job / p.width;
        let to = ((image_row / p.height * p.groups + g) * p.outputs + output) * plane
          + (p.first_y + image_row % p.height * p.step_y) * p.width_out + p.first_x + job % p.width * p.step_x;
        let value = sum[i * TN + t] + start;
        if (output < p.outputs) { y[to] = value.x; }
        if (output + 1u < p.outputs) { y[to + plane] = value.y; }
        if (output + 2u < p.outputs) { y[to + 2u * plane] = value.z; }
        if (output + 3u < p.outputs) { y[to + 3u * plane] = value.w; }
      }
    }
  }
}

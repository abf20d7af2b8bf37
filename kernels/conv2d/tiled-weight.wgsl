// Gradient of a convolution to its weight as an implicit matrix product with tiles in workgroup memory: 4 TM Y output
// channels x TN X weights of each per workgroup, summed over a split of the pixels. conv2d/registers-weight.wgsl is its
// sibling without workgroup memory.
// x: [batch, groups, channels, ...], padded by conv2d/layout.wgsl or plain   dy: [batch, groups, outputs, pixels]
// pixel_offsets: [batch pixels], where in x the first input of a pixel is, and where in dy its gradient
// offsets: [width], how far the input of a weight is from the first one   dw: [splits, groups, outputs, width]

// The launcher writes these numbers anew for every variant: arrays in registers want constants.
const TM = 2u;        // vectors of output channels of an invocation
const TN = 4u;        // weights of an invocation
const X = 16u;        // invocations along the weights
const Y = 8u;         // and along the output channels
const STEP = 16u;     // pixels staged at a time
const THREADS = X * Y;
const COPIES = X * TN * STEP / THREADS;       // inputs that an invocation stages

struct Params {
  splits: u32, per_split: u32, depth: u32, groups: u32, tiles: u32, outputs: u32, width_tiles: u32, width: u32,
  pixels: u32, group_stride: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> pixel_offsets: array<vec2u>;
@group(0) @binding(3) var<storage, read> offsets: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;
var<workgroup> grads: array<vec4f, STEP * Y * TM>;
var<workgroup> inputs: array<f32, STEP * X * TN>;

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = group.y * groups.x + group.x;
  let tile = number % (p.width_tiles * p.tiles);
  let first_column = tile % p.width_tiles * X * TN;
  let first_output = tile / p.width_tiles * Y * TM * 4u;
  let g = number / (p.width_tiles * p.tiles) % p.groups;
  let split = number / (p.width_tiles * p.tiles * p.groups);

  // This invocation stages pixel `staged` of every step, for weights X TN / COPIES from each other.
  let distance = THREADS / STEP;
  let staged = lid % STEP;
  var offset: array<u32, COPIES>;
  for (var t = 0u; t < COPIES; t++) {
    offset[t] = g * p.group_stride + offsets[min(first_column + lid / STEP + t * distance, p.width - 1u)].x;
  }

  let column = lid % X;
  let m = lid / X * TM;
  var sum: array<vec4f, TM * TN>;
  let last = select(0u, min((split + 1u) * p.per_split, p.depth), split < p.splits);
  for (var k = split * p.per_split; k < last; k += STEP) {
    let inside = k + staged < last;
    let pixel_offset = pixel_offsets[min(k + staged, p.depth - 1u)];
    for (var s = lid / STEP; s < Y * TM; s += distance) {
      // Outputs beyond the last one read it again; what they make of it is not stored.
      let output = vec4u(first_output + 4u * s) + vec4u(0u, 1u, 2u, 3u);
      let at = pixel_offset.y + (g * p.outputs + min(output, vec4u(p.outputs - 1u))) * p.pixels;
      grads[staged * Y * TM + s] = select(vec4f(0.0), vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), inside);
    }
    for (var t = 0u; t < COPIES; t++) {
      inputs[staged * X * TN + lid / STEP + t * distance] = select(0.0, x[pixel_offset.x + offset[t]], inside);
    }
    workgroupBarrier();
    for (var s = 0u; s < STEP; s++) {
      for (var i = 0u; i < TM; i++) {
        let grad = grads[s * Y * TM + m + i];
        for (var t = 0u; t < TN; t++) {
          sum[i * TN + t] = fma(grad, vec4f(inputs[s * X * TN + column + t * X]), sum[i * TN + t]);
        }
      }
    }
    workgroupBarrier();
  }

  for (var i = 0u; i < TM; i++) {
    let output = first_output + (m + i) * 4u;
    for (var t = 0u; t < TN; t++) {
      let to = first_column + column + t * X;
      if (split < p.splits && to < p.width) {
        let at = ((split * p.groups + g) * p.outputs + output) * p.width + to;
        let value = sum[i * TN + t];
        if (output < p.outputs) { dw[at] = value.x; }
        if (output + 1u < p.outputs) { dw[at + p.width] = value.y; }
        if (output + 2u < p.outputs) { dw[at + 2u * p.width] = value.z; }
        if (output + 3u < p.outputs) { dw[at + 3u * p.width] = value.w; }
      }
    }
  }
}

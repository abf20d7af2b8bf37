// Gradient of a convolution to its weight as a product whose operands both lie in storage in the order in which they
// are read: images with blocks of sixteen channels side by side (channels-last.wgsl), gradients plane by plane.
// An invocation makes four outputs by one block of channels of one tap, whose sums over a split of the image rows stay
// in registers. For the embedded device. Outputs go round fastest, so what they read of x stays in the cache.
// x: [images, blocks, rows, columns] of 16   dy: [images, outputs, height, width]   dw: [splits, outputs, taps, blocks]

struct Params {
  splits: u32, per_split: u32, image_rows: u32, outputs: u32, taps: u32, taps_x: u32, blocks: u32,
  height: u32, width: u32, next_block: u32, image: u32, row: u32, column: u32, tap_y: u32, tap_x: u32,
}
alias Block = array<vec4f, 4>;
@group(0) @binding(0) var<storage, read> x: array<Block>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<Block>;
@group(0) @binding(3) var<uniform> p: Params;
override X: u32 = 16;                      // quads of outputs of a workgroup
override Y: u32 = 4;                       // blocks of it

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u) {
  let down = (p.outputs + 4u * X - 1u) / (4u * X);
  let index = group.y * groups.x + group.x;
  let o = (index % down * X + local.x) * 4u;
  let number = index / down * Y + local.y;
  let cells = p.taps * p.blocks;
  if (o >= p.outputs || number >= p.splits * cells) { return; }
  let split = number / cells;
  let tap = number % cells / p.blocks;
  let part = number % p.blocks;
  let plane = p.height * p.width;
  // Outputs beyond the last read it again and are not stored.
  let second = min(1u, p.outputs - 1u - o) * plane;
  let third = min(2u, p.outputs - 1u - o) * plane;
  let fourth = min(3u, p.outputs - 1u - o) * plane;
  let shift = tap / p.taps_x * p.tap_y + tap % p.taps_x * p.tap_x + part * p.next_block;
  let last = min(p.image_rows, (split + 1u) * p.per_split);
  var sum: array<vec4f, 16>;
  for (var image_row = split * p.per_split; image_row < last; image_row++) {
    let n = image_row / p.height;
    let i = image_row % p.height;
    let at = n * p.image + i * p.row + shift;
    let a = (n * p.outputs + o) * plane + i * p.width;
    let b = a + second;
    let c = a + third;
    let d = a + fourth;
    for (var j = 0u; j < p.width; j++) {
      let s = vec4f(dy[a + j]);
      let t = vec4f(dy[b + j]);
      let u = vec4f(dy[c + j]);
      let v = vec4f(dy[d + j]);
      for (var q = 0u; q < 4u; q++) { sum[q] = fma(s, x[at + j * p.column][q], sum[q]); }
      for (var q = 0u; q < 4u; q++) { sum[4u + q] = fma(t, x[at + j * p.column][q], sum[4u + q]); }
      for (var q = 0u; q < 4u; q++) { sum[8u + q] = fma(u, x[at + j * p.column][q], sum[8u + q]); }
      for (var q = 0u; q < 4u; q++) { sum[12u + q] = fma(v, x[at + j * p.column][q], sum[12u + q]); }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (o + r < p.outputs) {
      let to = (split * p.outputs + o + r) * cells + tap * p.blocks + part;
      for (var q = 0u; q < 4u; q++) { dw[to][q] = sum[4u * r + q]; }
    }
  }
}

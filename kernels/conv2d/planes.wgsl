// Convolution with windows of one pixel, of images whose planes are whole blocks of sixteen pixels: they are read and
// written where they are, and so are the weights. An invocation makes four outputs of one block, whose sums stay in
// registers. For the embedded device. Outputs go round fastest, so what they read of x stays in the cache.
// x: [images, groups, channels, blocks]   w: output o and channel k of group g at g w_group + o w_output + k w_channel
// y, residual: [images, groups, outputs, blocks]   bias: [groups, outputs]

struct Params {
  images: u32, groups: u32, outputs: u32, channels: u32, blocks: u32, w_group: u32, w_output: u32, w_channel: u32,
  has_bias: u32,
}
alias Block = array<vec4f, 4>;
@group(0) @binding(0) var<storage, read> x: array<Block>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Block>;
@group(0) @binding(4) var<uniform> p: Params;
// #include finish-sums.wgsl
@group(0) @binding(6) var<storage, read> residual: array<Block>;
override X: u32 = 16;                      // quads of outputs of a workgroup
override Y: u32 = 4;                       // blocks of it

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u) {
  let down = (p.outputs + 4u * X - 1u) / (4u * X);
  let index = group.y * groups.x + group.x;
  let o = (index % down * X + local.x) * 4u;
  let number = index / down * Y + local.y;
  if (o >= p.outputs || number >= p.images * p.groups * p.blocks) { return; }
  let part = number / p.blocks;
  let g = part % p.groups;
  // Outputs beyond the last read it again and are not stored.
  let a = g * p.w_group + o * p.w_output;
  let b = g * p.w_group + min(o + 1u, p.outputs - 1u) * p.w_output;
  let c = g * p.w_group + min(o + 2u, p.outputs - 1u) * p.w_output;
  let d = g * p.w_group + min(o + 3u, p.outputs - 1u) * p.w_output;
  let at = part * p.channels * p.blocks + number % p.blocks;
  var sum: array<vec4f, 16>;
  for (var k = 0u; k < p.channels; k++) {
    let s = vec4f(w[a + k * p.w_channel]);
    let t = vec4f(w[b + k * p.w_channel]);
    let u = vec4f(w[c + k * p.w_channel]);
    let v = vec4f(w[d + k * p.w_channel]);
    for (var q = 0u; q < 4u; q++) { sum[q] = fma(s, x[at + k * p.blocks][q], sum[q]); }
    for (var q = 0u; q < 4u; q++) { sum[4u + q] = fma(t, x[at + k * p.blocks][q], sum[4u + q]); }
    for (var q = 0u; q < 4u; q++) { sum[8u + q] = fma(u, x[at + k * p.blocks][q], sum[8u + q]); }
    for (var q = 0u; q < 4u; q++) { sum[12u + q] = fma(v, x[at + k * p.blocks][q], sum[12u + q]); }
  }
  let to = (part * p.outputs + o) * p.blocks + number % p.blocks;
  for (var r = 0u; r < 4u; r++) {
    if (o + r < p.outputs) {
      var start = 0.0;
      if (p.has_bias != 0u) { start = bias[g * p.outputs + o + r]; }
      let at_r = to + r * p.blocks;
      let output = g * p.outputs + o + r;
      var made: array<vec4f, 4>;
      for (var q = 0u; q < 4u; q++) { made[q] = scaled(sum[4u * r + q] + start, output); }
      if (RESIDUAL == 1u) { for (var q = 0u; q < 4u; q++) { made[q] += residual[at_r][q]; } }
      for (var q = 0u; q < 4u; q++) { y[at_r][q] = rectified(made[q]); }
    }
  }
}

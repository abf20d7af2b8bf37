// Puts inputs, gradients and weights of a convolution into the order in which its kernels read them.

struct Params {
  size: u32, rows_in: u32, columns_in: u32, rows: u32, columns: u32, parts: u32, top: i32, left: i32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;

// x: [planes, rows_in, columns_in] -> out: [planes, rows, parts, columns], zero outside of x. `parts` is the horizontal stride:
// column c of the padded image is at part c % parts, column c / parts, so that what neighbouring outputs read are neighbours.
// `columns` is a multiple of 4, and `top` and `left` may be negative, which crops. Four columns per invocation.
@compute @workgroup_size(64)
fn pad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lane;
  if (number * 4u >= p.size) { return; }
  let wide = p.columns / 4u;
  let column = number % wide * 4u;
  let part = number / wide % p.parts;
  let line = number / (wide * p.parts);
  let row = i32(line % p.rows) - p.top;
  var values = vec4f(0.0);
  if (row >= 0 && row < i32(p.rows_in)) {
    let base = (line / p.rows * p.rows_in + u32(row)) * p.columns_in;
    for (var t = 0u; t < 4u; t++) {
      let source = i32((column + t) * p.parts + part) - p.left;
      if (source >= 0 && source < i32(p.columns_in)) { values[t] = x[base + u32(source)]; }
    }
  }
  out[number] = values;
}

struct PackParams {
  size: u32, tile: u32, tiles: u32, outputs: u32, channels: u32, taps_y: u32, parts: u32, taps_x: u32,
  group_stride: u32, output_stride: u32, channel_stride: u32, width: u32,
  first_y: i32, step_y: i32, first_x: i32, step_part: i32, step_x: i32,
}
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> packed: array<f32>;
@group(0) @binding(5) var<uniform> q: PackParams;

// w -> packed: [groups, tiles, channels, taps_y, parts, taps_x, tile]. Outputs beyond the last one and taps beyond the kernel
// are zero. Which tap stands where is linear: the gradient to the input reads the kernel backwards and every n-th tap of it.
@compute @workgroup_size(64)
fn pack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lane;
  if (number >= q.size) { return; }
  var rest = number / q.tile;
  let tap_x = i32(rest % q.taps_x);
  rest /= q.taps_x;
  let part = i32(rest % q.parts);
  rest /= q.parts;
  let tap_y = i32(rest % q.taps_y);
  rest /= q.taps_y;
  let channel = rest % q.channels;
  rest /= q.channels;
  let output = rest % q.tiles * q.tile + number % q.tile;
  let row = q.first_y + tap_y * q.step_y;
  let column = q.first_x + part * q.step_part + tap_x * q.step_x;
  var value = 0.0;
  if (output < q.outputs && column >= 0 && column < i32(q.width)) {
    value = w[rest / q.tiles * q.group_stride + output * q.output_stride + channel * q.channel_stride + u32(row) * q.width + u32(column)];
  }
  packed[number] = value;
}

// Puts inputs, gradients and weights of a convolution into the order in which its kernels read them.

struct Params {
  size: u32, rows_in: u32, columns_in: u32, rows: u32, columns: u32, parts: u32, next_part: u32, stride: u32,
    top: i32, left: i32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;

// x: [planes, rows_in, columns_in] -> out: [planes, rows, parts, columns]: what part r of a row has at column q is
// column q stride + r next_part of the padded image, so that what neighbouring outputs read are neighbours. Zero
// outside of x.
// `columns` is a multiple of 4, and `top` and `left` may be negative, which crops. Four columns per invocation.
@compute @workgroup_size(64)
fn pad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number * 4u >= p.size) { return; }
  let wide = p.columns / 4u;
  let column = number % wide * 4u;
  let part = number / wide % p.parts;
  let image_row = number / (wide * p.parts);
  let row = i32(image_row % p.rows) - p.top;
  var values = vec4f(0.0);
  if (row >= 0 && row < i32(p.rows_in)) {
    let base = (image_row / p.rows * p.rows_in + u32(row)) * p.columns_in;
    for (var t = 0u; t < 4u; t++) {
      let source = i32((column + t) * p.stride + part * p.next_part) - p.left;
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
@group(0) @binding(4) var<storage, read_write> blocks: array<f32>;
@group(0) @binding(5) var<uniform> q: PackParams;

// w -> blocks: [groups, tiles, channels, taps_y, parts, taps_x, tile]. Outputs beyond the last one and taps beyond the
// kernel are zero. Which tap stands where is linear: the gradient to the input reads the kernel backwards and every
// n-th tap of it. One invocation packs all taps of one channel for one tile of outputs.
@compute @workgroup_size(64)
fn blocks_of_weights(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= q.size) { return; }
  let first_output = number / q.channels % q.tiles * q.tile;
  let base = number / (q.channels * q.tiles) * q.group_stride + number % q.channels * q.channel_stride
    + first_output * q.output_stride;
  var to = number * q.taps_y * q.parts * q.taps_x * q.tile;
  for (var tap_y = 0u; tap_y < q.taps_y; tap_y++) {
    let row = base + u32(q.first_y + i32(tap_y) * q.step_y) * q.width;
    for (var part = 0u; part < q.parts; part++) {
      for (var tap_x = 0u; tap_x < q.taps_x; tap_x++) {
        let column = q.first_x + i32(part) * q.step_part + i32(tap_x) * q.step_x;
        let inside = column >= 0 && column < i32(q.width);
        for (var m = 0u; m < q.tile; m++) {
          var value = 0.0;
          if (inside && first_output + m < q.outputs) { value = w[row + m * q.output_stride + u32(column)]; }
          blocks[to] = value;
          to += 1u;
        }
      }
    }
  }
}

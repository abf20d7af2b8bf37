// Convolutions whose windows do not overlap (1 x 1, patch embedding): the windows as columns of a matrix, and back.
// Nothing is copied twice, so a plain product does the rest.
// columns: [batch, channels, kernel_y, kernel_x, rows, columns_out]   image: [batch, channels, height, width]

struct Params {
  size: u32, height: u32, width: u32, kernel_y: u32, kernel_x: u32, rows: u32, columns: u32,
  stride_y: u32, stride_x: u32, padding_y: u32, padding_x: u32, dilation_y: u32, dilation_x: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

override EACH: u32 = 4;                                          // neighbours of a row that an invocation moves

// Image to columns.
@compute @workgroup_size(64)
fn im2col(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  if (job >= p.size) { return; }
  let runs = (p.columns + EACH - 1u) / EACH;
  let patch_row = job / runs;                                       // plane, u, v, i
  let i = patch_row % p.rows;
  let tap = patch_row / p.rows % (p.kernel_y * p.kernel_x);
  let plane = patch_row / (p.rows * p.kernel_y * p.kernel_x);
  let row = i32(i * p.stride_y + tap / p.kernel_x * p.dilation_y) - i32(p.padding_y);
  let left = i32(tap % p.kernel_x * p.dilation_x) - i32(p.padding_x);
  for (var j = job % runs * EACH; j < min((job % runs + 1u) * EACH, p.columns); j++) {
    let column = left + i32(j * p.stride_x);
    var value = 0.0;
    if (row >= 0 && row < i32(p.height) && column >= 0 && column < i32(p.width)) {
      value = x[(plane * p.height + u32(row)) * p.width + u32(column)];
    }
    out[patch_row * p.columns + j] = value;
  }
}

// Columns to image. Pixels between windows are zero.
@compute @workgroup_size(64)
fn col2im(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= p.size) { return; }
  let row = number / p.width % p.height + p.padding_y;
  let column = number % p.width + p.padding_x;
  let plane = number / (p.width * p.height);
  let i = row / p.stride_y;
  let j = column / p.stride_x;
  let u = row % p.stride_y / p.dilation_y;
  let v = column % p.stride_x / p.dilation_x;
  let exact = row % p.stride_y == u * p.dilation_y && column % p.stride_x == v * p.dilation_x;
  var value = 0.0;
  if (exact && i < p.rows && j < p.columns && u < p.kernel_y && v < p.kernel_x) {
    value = x[(((plane * p.kernel_y + u) * p.kernel_x + v) * p.rows + i) * p.columns + j];
  }
  out[number] = value;
}

struct BiasParams { planes: u32, channels: u32, pixels: u32 }
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> q: BiasParams;

// y[n, c, pixel] += bias[c] in place, eight pixels per invocation.
@compute @workgroup_size(64)
fn add_bias(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  let runs = (q.pixels + 7u) / 8u;
  let plane = job / runs;
  if (plane >= q.planes) { return; }
  let value = bias[plane % q.channels];
  let first = job % runs * 8u;
  for (var i = first; i < min(first + 8u, q.pixels); i++) { y[plane * q.pixels + i] += value; }
}

// Windows of images as strips of columns: out [strips][height][STRIP], of which row r is window first + r and column c
// of strip s is step s STRIP + c of it. What is beyond the windows or their steps is zero. With windows of one pixel it
// is images [images, channels, pixels] transposed.
// x, taps: as in pixels.wgsl

struct Params {
  first: u32, rows: u32, K: u32, height: u32, strips: u32, pixels: u32, width: u32, batch_stride: u32, row_stride: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> taps: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

override STRIP: u32 = 16;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  // Sixty-four rows of one strip, then the same rows of the next.
  let index = group.y * groups.x + group.x;
  let strip = index % p.strips;
  let row = index / p.strips * 64u + lid;
  if (row >= p.height) { return; }
  let m = p.first + min(row, p.rows - 1u);
  let pixel = m % p.pixels;
  let begin = m / p.pixels * p.batch_stride + pixel / p.width * p.row_stride + pixel % p.width;
  let to = (strip * p.height + row) * STRIP;
  let k = strip * STRIP;
  for (var c = 0u; c < STRIP; c++) {
    var value = 0.0;
    if (row < p.rows && k + c < p.K) { value = x[begin + taps[k + c].x]; }
    out[to + c] = value;
  }
}

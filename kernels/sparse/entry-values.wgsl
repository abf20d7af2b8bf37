// Gradient to the kept values of tiles of any size: each the product of a column of dy and one of x, of matrices that
// were transposed. Columns are whole vectors, zero after the last row.
// dy: [N][height]   x: [K][height]   values: as in params.wgsl

struct Params { N: u32, K: u32, height: u32, slots: u32 }
@group(0) @binding(5) var<uniform> p: Params;
override HEIGHT: u32 = 1;
override WIDTH: u32 = 1;
override STRIP: u32 = 1;

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> tile_row: array<u32>;
@group(0) @binding(3) var<storage, read> tile_column: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let size = HEIGHT * WIDTH;
  let slot = i / size;
  if (slot >= p.slots) { return; }
  let part = i % size / (WIDTH * STRIP);
  let n = tile_row[slot] * HEIGHT + part * STRIP + i % STRIP;
  let k = tile_column[slot] * WIDTH + i % (WIDTH * STRIP) / STRIP;
  if (n >= p.N || k >= p.K) {
    values[i] = 0.0;
    return;
  }
  let length = p.height / 4u;
  let a = n * length;
  let b = k * length;
  // Four sums, so that one addition need not wait for the last.
  var s = vec4f();
  var t = vec4f();
  var u = vec4f();
  var v = vec4f();
  for (var j = 0u; j < length / 4u; j++) {
    s = fma(dy[a + 4u * j], x[b + 4u * j], s);
    t = fma(dy[a + 4u * j + 1u], x[b + 4u * j + 1u], t);
    u = fma(dy[a + 4u * j + 2u], x[b + 4u * j + 2u], u);
    v = fma(dy[a + 4u * j + 3u], x[b + 4u * j + 3u], v);
  }
  for (var j = length / 4u * 4u; j < length; j++) { s = fma(dy[a + j], x[b + j], s); }
  let sum = (s + t) + (u + v);
  values[i] = (sum.x + sum.y) + (sum.z + sum.w);
}

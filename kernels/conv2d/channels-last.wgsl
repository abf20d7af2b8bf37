// Images with their channels side by side, so that a window is a few runs through memory: x [images, channels,
// height_in, width_in] -> out [images, rows, columns, channels], `top` rows and `left` columns of zeros before
// the first (negative: so many are left out), zeros behind the last. An invocation makes a row of one channel, or of
// four.

struct Params {
  size: u32, channels: u32, height_in: u32, width_in: u32, rows: u32, columns: u32, top: i32, left: i32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array</*element*/f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.size) { return; }
  let units = p.channels / /*unit*/1u;
  let row = i / units % p.rows;
  let image = i / units / p.rows;
  let to = i / units * p.columns * units + i % units;
  let y = i32(row) - p.top;
  // Columns `first` to `last` - 1 have a pixel of x.
  var first = 0u;
  var last = 0u;
  if (y >= 0 && y < i32(p.height_in)) {
    first = u32(clamp(p.left, 0, i32(p.columns)));
    last = u32(clamp(i32(p.width_in) + p.left, i32(first), i32(p.columns)));
  }
  for (var j = 0u; j < first; j++) { out[to + j * units] = /*element*/f32(); }
  let plane = p.height_in * p.width_in;
  let at = (image * p.channels + i % units * /*unit*/1u) * plane + u32(max(y, 0)) * p.width_in
    + u32(max(-p.left, 0));
  for (var j = 0u; j < last - first; j++) {
    let s = at + j;
    out[to + (first + j) * units] = /*pixel*/x[s];
  }
  for (var j = max(last, first); j < p.columns; j++) { out[to + j * units] = /*element*/f32(); }
}

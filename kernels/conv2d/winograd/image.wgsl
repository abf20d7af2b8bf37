// Images as Winograd's convolution reads them: x [images, channels, height, width] -> out [images][octets][rows]
// [columns] of eight channels, zero beyond the last channel, `top` rows and `left` columns of zeros before the first
// (negative: so many are left out), zeros behind the last. An invocation makes a row of eight channels.

struct Params {
  size: u32, channels: u32, octets: u32, height: u32, width: u32, rows: u32, columns: u32, top: i32, left: i32,
}
alias Cell = array<vec4f, 2>;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<Cell>;
@group(0) @binding(2) var<uniform> p: Params;

fn blank(at: u32) { for (var q = 0u; q < 2u; q++) { out[at][q] = vec4f(); } }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.size) { return; }
  let row = i32(i % p.rows) - p.top;
  let image = i / p.rows / p.octets;
  let channel = i / p.rows % p.octets * 8u;
  let to = i * p.columns;
  // Columns `first` to `last` - 1 have a pixel of x.
  var first = 0u;
  var last = 0u;
  if (row >= 0 && row < i32(p.height)) {
    first = u32(clamp(p.left, 0, i32(p.columns)));
    last = u32(clamp(i32(p.width) + p.left, i32(first), i32(p.columns)));
  }
  for (var j = 0u; j < first; j++) { blank(to + j); }
  // Channels beyond the last read it again and count nothing.
  let c = vec4u(channel) + vec4u(0u, 1u, 2u, 3u);
  let d = c + 4u;
  let at = image * p.channels * p.height * p.width + u32(max(row, 0)) * p.width + u32(max(-p.left, 0));
  let a = min(c, vec4u(p.channels - 1u)) * p.height * p.width + at;
  let b = min(d, vec4u(p.channels - 1u)) * p.height * p.width + at;
  let inside = c < vec4u(p.channels);
  let more = d < vec4u(p.channels);
  for (var j = 0u; j < last - first; j++) {
    let low = vec4f(x[a.x + j], x[a.y + j], x[a.z + j], x[a.w + j]);
    let high = vec4f(x[b.x + j], x[b.y + j], x[b.z + j], x[b.w + j]);
    out[to + first + j][0] = select(vec4f(), low, inside);
    out[to + first + j][1] = select(vec4f(), high, more);
  }
  for (var j = max(last, first); j < p.columns; j++) { blank(to + j); }
}

// Values of the transposed weight in the order in which its products read them: tile by tile of slots `order`, each
// transposed, four by four entries at a time: turn.wgsl where strips are whole vectors either way.
// values: as in params.wgsl   out: [slots][WIDTH / ACROSS][HEIGHT][ACROSS]

struct Params { slots: u32 }
@group(0) @binding(3) var<uniform> p: Params;
override HEIGHT: u32 = 16;
override WIDTH: u32 = 16;
override STRIP: u32 = 16;                  // rows of a tile that lie side by side
override ACROSS: u32 = 16;                 // columns of it that do once it is transposed

@group(0) @binding(0) var<storage, read> values: array<vec4f>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let size = HEIGHT * WIDTH;
  let slot = i / (size / 16u);
  if (slot >= p.slots) { return; }
  let quad = i % (size / 16u);
  let row = quad % (HEIGHT / 4u) * 4u;
  let column = quad / (HEIGHT / 4u) * 4u;
  let at = (order[slot] * size + (row / STRIP * WIDTH + column) * STRIP + row % STRIP) / 4u;
  let s = values[at];
  let t = values[at + STRIP / 4u];
  let u = values[at + STRIP / 2u];
  let v = values[at + 3u * STRIP / 4u];
  let to = (slot * size + (column / ACROSS * HEIGHT + row) * ACROSS + column % ACROSS) / 4u;
  out[to] = vec4f(s.x, t.x, u.x, v.x);
  out[to + ACROSS / 4u] = vec4f(s.y, t.y, u.y, v.y);
  out[to + ACROSS / 2u] = vec4f(s.z, t.z, u.z, v.z);
  out[to + 3u * ACROSS / 4u] = vec4f(s.w, t.w, u.w, v.w);
}

// Occupied tiles of weight x mask [N, K] as the products read them, or those of the transposed weight (TURNED), four by
// four entries to an invocation. HEIGHT and WIDTH, tile_row and tile_column are of the weight as the product sees it.
// values: [slots][HEIGHT / STRIP][WIDTH][STRIP]

struct Params { N: u32, K: u32, slots: u32 }
@group(0) @binding(5) var<uniform> p: Params;
override HEIGHT: u32 = 32;                 // multiples of four
override WIDTH: u32 = 32;
override STRIP: u32 = 16;
override TURNED: u32 = 0;

/*memory*/
@group(0) @binding(2) var<storage, read> tile_row: array<u32>;
@group(0) @binding(3) var<storage, read> tile_column: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4f>;

fn four(n: u32, k: u32) -> vec4f {
  if (n >= p.N || k >= p.K) { return vec4f(); }
  return load_weight(n * p.K + k, p.K - k) * load_mask(n * p.K + k, p.K - k);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let quads = HEIGHT * WIDTH / 16u;
  let slot = i / quads;
  if (slot >= p.slots) { return; }
  if (tile_row[slot] == 0xffffffffu) { return; }
  let row = i % quads / (WIDTH / 4u) * 4u;
  let column = i % (WIDTH / 4u) * 4u;
  let at = (slot * HEIGHT * WIDTH + (row / STRIP * WIDTH + column) * STRIP + row % STRIP) / 4u;
  let down = tile_row[slot] * HEIGHT + row;
  let right = tile_column[slot] * WIDTH + column;
  if (TURNED == 1u) {
    for (var j = 0u; j < 4u; j++) { values[at + j * (STRIP / 4u)] = four(right + j, down); }
  } else {
    let s = four(down, right);
    let t = four(down + 1u, right);
    let u = four(down + 2u, right);
    let v = four(down + 3u, right);
    values[at] = vec4f(s.x, t.x, u.x, v.x);
    values[at + STRIP / 4u] = vec4f(s.y, t.y, u.y, v.y);
    values[at + STRIP / 2u] = vec4f(s.z, t.z, u.z, v.z);
    values[at + 3u * STRIP / 4u] = vec4f(s.w, t.w, u.w, v.w);
  }
}

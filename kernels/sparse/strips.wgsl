// Cuts a matrix x [rows, width] into strips of STRIP columns that lie one after the other: out [strips][height][STRIP],
// height at least rows; what is beyond the matrix is zero. With strips of one column, it is the matrix transposed.

struct Params { rows: u32, width: u32, height: u32, strips: u32 }
@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(0) var<storage, read> x: array</*element*/f32>;
@group(0) @binding(1) var<storage, read_write> out: array</*element*/f32>;

override STRIP: u32 = 16;                  // in elements

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  // Sixty-four rows of one strip, then the same rows of the next, which lie in the same pages.
  let index = group.y * groups.x + group.x;
  let strip = index % p.strips;
  let row = index / p.strips * 64u + lid;
  if (row >= p.height) { return; }
  let to = (strip * p.height + row) * STRIP;
  let at = row * p.width + strip * STRIP;
  if (row < p.rows && (strip + 1u) * STRIP <= p.width) {
    for (var c = 0u; c < STRIP; c++) { out[to + c] = x[at + c]; }
    return;
  }
  for (var c = 0u; c < STRIP; c++) {
    var value = /*element*/f32();
    if (row < p.rows && strip * STRIP + c < p.width) { value = x[at + c]; }
    out[to + c] = value;
  }
}

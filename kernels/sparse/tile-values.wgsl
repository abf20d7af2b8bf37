// Gradient to the kept values of tiles: sum over m of dy[m, n] x[m, k], of matrices that were cut into strips. An
// invocation makes four columns of one strip of a tile, STEP rows at a time, so that what its neighbours read as well
// is still in the first-level cache.
// dy: [strips][M][4 COLUMNS]   x: [strips][M][4 QUADS]   values: as in params.wgsl

struct Params { M: u32, slots: u32 }
@group(0) @binding(5) var<uniform> p: Params;
override HEIGHT: u32 = 16;
override WIDTH: u32 = 16;                  // a multiple of 4 QUADS
override COLUMNS: u32 = 4;
override QUADS: u32 = 4;
override STEP: u32 = 128;
override ITEMS: u32 = 16;                  // invocations of a workgroup

alias Strip = array<vec4f, /*columns*/4>;
@group(0) @binding(0) var<storage, read> dy: array<Strip>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> tile_row: array<u32>;
@group(0) @binding(3) var<storage, read> tile_column: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<Strip>;

@compute @workgroup_size(ITEMS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let parts = HEIGHT / (4u * COLUMNS);
  let quads = WIDTH / 4u;
  let first = (group.y * groups.x + group.x) * ITEMS;
  if (first >= p.slots * parts * quads) { return; }
  let item = first + lid;
  let slot = item / (parts * quads);
  let part = item / quads % parts;
  let quad = item % quads;
  var works = slot < p.slots;
  var a = 0u;
  var b = 0u;
  if (works) { works = tile_row[slot] != 0xffffffffu; }   // a slot of a masked weight without a tile
  if (works) {
    b = (tile_row[slot] * parts + part) * p.M;
    a = (tile_column[slot] * (quads / QUADS) + quad / QUADS) * p.M * QUADS + quad % QUADS;
  }
  var sums: array<vec4f, 16>;
  for (var m = 0u; m < p.M; m += STEP) {
    if (works) {
      var sum: array<vec4f, 16>;
      if (m > 0u) { sum = sums; }
      let steps = min(STEP, p.M - m);
      for (var i = 0u; i < steps; i++) {
        for (var r = 0u; r < 4u; r++) {
          let column = vec4f(x[a + (m + i) * QUADS][r]);
          for (var c = 0u; c < COLUMNS; c++) {
            sum[r * COLUMNS + c] = fma(column, dy[b + m + i][c], sum[r * COLUMNS + c]);
          }
        }
      }
      if (m + STEP < p.M) {
        sums = sum;
      } else {
        let to = (slot * parts + part) * WIDTH + quad * 4u;
        for (var r = 0u; r < 4u; r++) {
          for (var c = 0u; c < COLUMNS; c++) { values[to + r][c] = sum[r * COLUMNS + c]; }
        }
      }
    }
    workgroupBarrier();
  }
}

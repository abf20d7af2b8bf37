// Lists of occupied tiles, row of tiles by row of tiles (of the transposed weight: column by column), each with the
// room of a full row: row r has slots r x columns to r x columns + count[r] - 1.
// flags: [rows][columns], or [columns][rows] if TURNED
// out: count [rows], tile_row and tile_column [rows][columns] (after the last: 0xffffffff in tile_row), slot_of like
// flags

struct Params { rows: u32, columns: u32 }
@group(0) @binding(5) var<uniform> p: Params;
override TURNED: u32 = 0;

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read_write> count: array<u32>;
@group(0) @binding(2) var<storage, read_write> tile_row: array<u32>;
@group(0) @binding(3) var<storage, read_write> tile_column: array<u32>;
@group(0) @binding(4) var<storage, read_write> slot_of: array<u32>;

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * 16u + lid;
  if (row >= p.rows) { return; }
  var slot = row * p.columns;
  for (var column = 0u; column < p.columns; column++) {
    let tile = select(row * p.columns + column, column * p.rows + row, TURNED == 1u);
    if (flags[tile] != 0u) {
      tile_row[slot] = row;
      tile_column[slot] = column;
      slot_of[tile] = slot;
      slot++;
    } else {
      slot_of[tile] = 0xffffffffu;
    }
  }
  count[row] = slot - row * p.columns;
  for (; slot < (row + 1u) * p.columns; slot++) {
    tile_row[slot] = 0xffffffffu;
    tile_column[slot] = 0u;
  }
}

// What a pattern's functions say, for comparison with what it packed: the first and last slot of every row of tiles,
// and the column of every slot.
// bounds: [tile_rows][2]   columns: [slots]

struct Params { N: u32, K: u32, tile_rows: u32, tile_columns: u32, slots: u32 }
@group(0) @binding(5) var<uniform> p: Params;

/*walk*/

@group(0) @binding(0) var<storage, read_write> bounds: array<u32>;
@group(0) @binding(1) var<storage, read_write> columns: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lid;
  if (row >= p.tile_rows) { return; }
  let begin = first(row);
  let end = last(row);
  bounds[2u * row] = begin;
  bounds[2u * row + 1u] = end;
  for (var slot = begin; slot < min(end, p.slots); slot++) { columns[slot] = column(row, slot); }
}

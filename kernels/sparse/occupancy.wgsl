// Which tiles of a mask [N, K] hold anything but zeros: flags [tile_rows][tile_columns], 1 or 0.

struct Params { N: u32, K: u32, tiles: u32, tile_columns: u32 }
@group(0) @binding(2) var<uniform> p: Params;
override HEIGHT: u32 = 32;
override WIDTH: u32 = 32;                  // a multiple of four

/*memory*/
@group(0) @binding(1) var<storage, read_write> flags: array<u32>;

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let tile = (group.y * groups.x + group.x) * 16u + lid;
  if (tile >= p.tiles) { return; }
  let top = tile / p.tile_columns * HEIGHT;
  let left_edge = tile % p.tile_columns * WIDTH;
  let bottom = min(top + HEIGHT, p.N);
  let right = min(left_edge + WIDTH, p.K);
  var found = 0u;
  for (var n = top; n < bottom && found == 0u; n++) {
    for (var k = left_edge; k < right; k += 4u) {
      if (any(load_mask(n * p.K + k, p.K - k) != vec4f())) { found = 1u; }
    }
  }
  flags[tile] = found;
}

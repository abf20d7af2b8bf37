// From the gradient of weight x mask, tile by tile, to those of the weight (times the mask) and of the mask (times the
// weight), as matrices [N, K]; in tiles that are not occupied they are zero.

struct Params { N: u32, K: u32, tile_columns: u32 }
@group(0) @binding(6) var<uniform> p: Params;
override HEIGHT: u32 = 32;                 // multiples of four
override WIDTH: u32 = 32;
override STRIP: u32 = 16;
override WEIGHT: u32 = 1;                  // whether the gradient of the weight is wanted, and that of the mask
override MASK: u32 = 1;

/*memory*/
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> slot_of: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  // One row of one tile, or of the room of one.
  let n = i / p.tile_columns;
  if (n >= p.N) { return; }
  let left_edge = i % p.tile_columns * WIDTH;
  let slot = slot_of[n / HEIGHT * p.tile_columns + i % p.tile_columns];
  let row = n % HEIGHT;
  let width = min(WIDTH, p.K - left_edge);
  if (slot == 0xffffffffu) {
    for (var column = 0u; column < width; column += 4u) {
      let at = n * p.K + left_edge + column;
      if (WEIGHT == 1u) { store_dweight(at, width - column, vec4f()); }
      if (MASK == 1u) { store_dmask(at, width - column, vec4f()); }
    }
    return;
  }
  let place = slot * HEIGHT * WIDTH + row / STRIP * WIDTH * STRIP + row % STRIP;
  for (var column = 0u; column < width; column += 4u) {
    let at = n * p.K + left_edge + column;
    let left = width - column;
    let first = place + column * STRIP;
    let gradient = vec4f(values[first], values[first + STRIP], values[first + 2u * STRIP], values[first + 3u * STRIP]);
    if (WEIGHT == 1u) { store_dweight(at, left, gradient * load_mask(at, left)); }
    if (MASK == 1u) { store_dmask(at, left, gradient * load_weight(at, left)); }
  }
}

// The last step of Winograd's convolution: sums of points [strips][rows of tiles][tiles_x][POINTS POINTS] of sixteen
// outputs become the pixels of their tiles, plus a bias. y: [images, outputs, height, width]. An invocation makes a row
// of tiles, from row `first` of all images on, of four outputs, one row of pixels after the other.

struct Params {
  size: u32, outputs: u32, height: u32, width: u32, tiles_y: u32, tiles_x: u32, tiles: u32, first: u32,
  has_bias: u32,
}
@group(0) @binding(0) var<storage, read> m: array<Tile>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array</*element*/f32>;
@group(0) @binding(3) var<uniform> p: Params;

/*transform*/

alias Tile = array<array<vec4f, 4>, POINTS * POINTS>;

/*store*/

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= p.size) { return; }
  let quads = (p.outputs + 3u) / 4u;
  let quad = number % quads;
  let row = p.first + number / quads;      // of all images
  let o = vec4u(4u * quad) + vec4u(0u, 1u, 2u, 3u);
  let own = min(o, vec4u(p.outputs - 1u));
  var added: vec4f;
  if (p.has_bias != 0u) { added = vec4f(bias[own.x], bias[own.y], bias[own.z], bias[own.w]); }
  let image = row / p.tiles_y;
  let top = row % p.tiles_y * MADE;
  let here = quad / 4u * p.tiles + number / quads * p.tiles_x;
  let to = (image * p.outputs + own) * p.height * p.width + top * p.width;
  let some = o < vec4u(p.outputs);
/*rows*/
}

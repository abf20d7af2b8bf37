// Tiles of images transformed for Winograd's convolution. x: [images][octets][rows][tiles_x + 1] blocks of MADE columns
// of eight channels (image.wgsl); tile (i, j) is rows MADE i to MADE i + POINTS - 1, and the last POINTS - MADE columns
// of block j with block j + 1. out: [POINTS POINTS][rows of tiles][tiles_x][octets] of eight channels. An invocation
// transforms a row of tiles, from row `first` of all images on, of eight channels, one line of points after the other,
// so that each of its loops walks along few places.

struct Params { size: u32, octets: u32, rows: u32, tiles_y: u32, tiles_x: u32, tiles: u32, first: u32 }
@group(0) @binding(0) var<storage, read> x: array<Block>;
@group(0) @binding(1) var<storage, read_write> out: array<Cell>;
@group(0) @binding(2) var<uniform> p: Params;

/*transform*/

alias Cell = array<vec4f, 2>;
alias Block = array<Cell, MADE>;
const KEPT = 2u;                           // columns that a tile shares with the next one

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= p.size) { return; }
  let octet = number % p.octets;
  let row = p.first + number / p.octets;   // of all images
  let next = p.tiles_x + 1u;
  let at = ((row / p.tiles_y * p.octets + octet) * p.rows + row % p.tiles_y * MADE) * next;
  let points = p.tiles * p.octets;
  let to = number / p.octets * p.tiles_x * p.octets + octet;
/*lines*/
}

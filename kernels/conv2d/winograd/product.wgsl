// The products of Winograd's convolution, one matrix product for every point of a tile, whose operands lie as they are
// read. An invocation makes four tiles by one strip of sixteen outputs, whose sums stay in registers; tiles go round
// fastest, so a strip stays in the cache while they pass by.
// x: [points][tiles][width], `channels` of them (input.wgsl)   w: [points][strips][channels] of sixteen (weight.wgsl)
// out: [strips][tiles][points] of sixteen

struct Params { tiles: u32, strips: u32, channels: u32, width: u32, points: u32 }
alias Strip = array<vec4f, 4>;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<Strip>;
@group(0) @binding(2) var<storage, read_write> out: array<Strip>;
@group(0) @binding(3) var<uniform> p: Params;
override X: u32 = 16;                      // quads of tiles of a workgroup
override Y: u32 = 4;                       // strips of it

fn put(point: u32, tile: u32, strip: u32, sums: Strip) {
  if (tile >= p.tiles) { return; }
  let at = (strip * p.tiles + tile) * p.points + point;
  for (var q = 0u; q < 4u; q++) { out[at][q] = sums[q]; }
}

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u) {
  let down = (p.tiles + 4u * X - 1u) / (4u * X);
  let across = (p.strips + Y - 1u) / Y;
  let index = group.y * groups.x + group.x;
  let point = index / (down * across);
  let tile = (index % down * X + local.x) * 4u;
  let strip = index / down % across * Y + local.y;
  if (point >= p.points || tile >= p.tiles || strip >= p.strips) { return; }
  // Tiles beyond the last read it again and are not stored.
  let own = point * p.tiles;
  let a = (own + tile) * p.width;
  let b = (own + min(tile + 1u, p.tiles - 1u)) * p.width;
  let c = (own + min(tile + 2u, p.tiles - 1u)) * p.width;
  let d = (own + min(tile + 3u, p.tiles - 1u)) * p.width;
  let at = (point * p.strips + strip) * p.channels;
  var sum: array<vec4f, 16>;
  for (var k = 0u; k < p.channels; k++) {
    let s = vec4f(x[a + k]);
    let t = vec4f(x[b + k]);
    let u = vec4f(x[c + k]);
    let v = vec4f(x[d + k]);
    // #include ../../shared/strip-step.wgsl
  }
  for (var r = 0u; r < 4u; r++) {
    var row: Strip;
    for (var q = 0u; q < 4u; q++) { row[q] = sum[4u * r + q]; }
    put(point, tile + r, strip, row);
  }
}

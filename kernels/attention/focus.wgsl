// The focusing function of FLatten (arXiv 2308.00442, Eq. 9) with what stands before it: u = (relu(t + positions) +
// small) / sharpness and out = |u| u^power / |u^power|, norms over a row, which has all heads of a token.
// t, out: [rows, width]   positions: [tokens, width]   sharpness: [width]
// THREADS invocations share a row.

// #include ../shared/row-vector.wgsl
// #include ../shared/row-sum.wgsl

struct Params { rows: u32, width: u32, tokens: u32, small: f32, power: f32 }
@group(0) @binding(0) var<storage, read> t: array<V>;
@group(0) @binding(1) var<storage, read> positions: array<V>;
@group(0) @binding(2) var<storage, read> sharpness: array<V>;
@group(0) @binding(3) var<storage, read_write> out: array<V>;
@group(0) @binding(4) var<uniform> p: Params;
override PLACED: u32 = 0;                 // 1: positions are added
override CUBE: u32 = 0;                   // 1: the power is 3

fn sharpened(u: V) -> V {
  if (CUBE == 1u) { return u * u * u; }
  return pow(u, V(p.power));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  let base = row * p.width;
  let place = row % p.tokens * p.width;
  let end = select(0u, p.width, row < p.rows);        // threads past the last row still meet the others at the barriers

  var squares = V(0);
  var powers = V(0);
  for (var i = lid % THREADS; i < end; i += THREADS) {
    var x = t[base + i];
    if (PLACED == 1u) { x += positions[place + i]; }
    let u = (select(x, V(0), x < V(0)) + p.small) / sharpness[i];
    let s = sharpened(u);
    squares += u * u;
    powers += s * s;
    out[base + i] = s;
  }
  let length = row_sum(lid, total(squares));
  let factor = sqrt(length) / sqrt(row_sum(lid, total(powers)));
  for (var i = lid % THREADS; i < end; i += THREADS) { out[base + i] *= factor; }
}

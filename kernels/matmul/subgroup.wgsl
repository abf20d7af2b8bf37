enable subgroups;
// Matrix product for software drivers, where one load costs as much as dozens of multiply-adds: within a subgroup no
// element is loaded twice. A workgroup is one subgroup of LANES lanes and makes ROWS x 4 LANES outputs, four steps of k
// at a time: a lane owns four columns; the elements of a are dealt out over the lanes and handed round by shuffles.
// a: matrices [M, K], or [K, M] if TRANSPOSE_A   b: [K, N], or [N, K] if TRANSPOSE_B   out: [splits, batch, M, N]

// #include tile.wgsl

override ROWS: u32 = 16;                   // a multiple of LANES and of 4, at most 32
override LANES: u32 = 8;                   // lanes of a subgroup of this adapter

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  let tile = tile_at(group.y * groups.x + group.x, ROWS, LANES * 4u);
  if (tile.matrix >= p.splits * p.batch) { return; }
  let n = tile.n + lane * 4u;
  let column = min(n, (p.N - 1u) / 4u * 4u);
  var x: array<vec4f, 8>;
  var sum: array<vec4f, 32>;               // sum[r]: four columns of row r
  for (var k = tile.first; k < tile.last; k += 4u) {
    for (var j = 0u; j < ROWS / LANES; j++) {
      let dealt = j * LANES + lane;
      if (TRANSPOSE_A == 0u) {             // four steps of one row each
        x[j] = load_a(tile.a + min(tile.m + dealt, p.M - 1u) * p.K + k, tile.last - k);
      } else {                             // four rows of one step each
        let row = min(tile.m + dealt % (ROWS / 4u) * 4u, (p.M - 1u) / 4u * 4u);
        let step = k + dealt / (ROWS / 4u);
        x[j] = select(vec4f(), load_a(tile.a + min(step, p.K - 1u) * p.M + row, p.M - row), step < tile.last);
      }
    }
    var y = quad_b(tile, k, column);
    if (TRANSPOSE_A == 0u) {
      for (var r = 0u; r < ROWS; r++) {
        let v = subgroupShuffle(x[r / LANES], r % LANES);
        sum[r] = fma(vec4f(v.x), y[0], sum[r]);
        sum[r] = fma(vec4f(v.y), y[1], sum[r]);
        sum[r] = fma(vec4f(v.z), y[2], sum[r]);
        sum[r] = fma(vec4f(v.w), y[3], sum[r]);
      }
    } else {
      // Two plain loops: Mesa unrolls a loop, and keeps `sum` in registers, only if its counter itself is the index.
      for (var i = 0u; i < 4u; i++) {
        for (var q = 0u; q < ROWS / 4u; q++) {
          let dealt = i * (ROWS / 4u) + q;
          let v = subgroupShuffle(x[dealt / LANES], dealt % LANES);
          sum[4u * q] = fma(vec4f(v.x), y[i], sum[4u * q]);
          sum[4u * q + 1u] = fma(vec4f(v.y), y[i], sum[4u * q + 1u]);
          sum[4u * q + 2u] = fma(vec4f(v.z), y[i], sum[4u * q + 2u]);
          sum[4u * q + 3u] = fma(vec4f(v.w), y[i], sum[4u * q + 3u]);
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) { finish(tile.matrix, tile.out, tile.m + r, n, sum[r]); }
}

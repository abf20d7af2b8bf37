// Matrix product with register tiles: out[m, n] = sum over k of a[m, k] b[k, n]. Each invocation makes ROWS x 4 COLUMNS
// outputs, four steps of k at a time, so that few loads feed many multiply-adds. No workgroup memory, no subgroups.
// a: matrices [M, K], or [K, M] if TRANSPOSE_A   b: [K, N], or [N, K] if TRANSPOSE_B   out: [splits, batch, M, N]

// #include tile.wgsl

override ROWS: u32 = 4;                    // 4 or 8
override COLUMNS: u32 = 1;                 // vectors of four, 1 or 2
override X: u32 = 8;                       // invocations of a workgroup along n, and along m
override Y: u32 = 8;

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u) {
  let tile = tile_at(group.y * groups.x + group.x, Y * ROWS, X * COLUMNS * 4u);
  if (tile.matrix >= p.splits * p.batch) { return; }
  let m = tile.m + local.y * ROWS;
  let n = tile.n + local.x * COLUMNS * 4u;
  if (m >= p.M || n >= p.N) { return; }
  var x: array<vec4f, 8>;                  // x[r]: row m + r, four steps of k
  var sum: array<vec4f, 16>;
  for (var k = tile.first; k < tile.last; k += 4u) {
    for (var r = 0u; r < ROWS; r += 4u) {
      if (TRANSPOSE_A == 0u) {
        for (var i = 0u; i < 4u; i++) { x[r + i] = load_a(tile.a + min(m + r + i, p.M - 1u) * p.K + k, tile.last - k); }
      } else {
        let row = min(m + r, (p.M - 1u) / 4u * 4u);
        let left = p.M - row;
        let s = load_a(tile.a + k * p.M + row, left);
        let t = select(vec4f(), load_a(tile.a + min(k + 1u, p.K - 1u) * p.M + row, left), k + 1u < tile.last);
        let u = select(vec4f(), load_a(tile.a + min(k + 2u, p.K - 1u) * p.M + row, left), k + 2u < tile.last);
        let v = select(vec4f(), load_a(tile.a + min(k + 3u, p.K - 1u) * p.M + row, left), k + 3u < tile.last);
        x[r] = vec4f(s.x, t.x, u.x, v.x);
        x[r + 1u] = vec4f(s.y, t.y, u.y, v.y);
        x[r + 2u] = vec4f(s.z, t.z, u.z, v.z);
        x[r + 3u] = vec4f(s.w, t.w, u.w, v.w);
      }
    }
    for (var c = 0u; c < COLUMNS; c++) {
      let y = quad_b(tile, k, min(n + 4u * c, (p.N - 1u) / 4u * 4u));
      for (var r = 0u; r < ROWS; r++) {
        let i = r * COLUMNS + c;
        sum[i] = fma(vec4f(x[r].x), y[0], sum[i]);
        sum[i] = fma(vec4f(x[r].y), y[1], sum[i]);
        sum[i] = fma(vec4f(x[r].z), y[2], sum[i]);
        sum[i] = fma(vec4f(x[r].w), y[3], sum[i]);
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < COLUMNS; c++) { finish(tile.matrix, tile.out, m + r, n + 4u * c, sum[r * COLUMNS + c]); }
  }
}

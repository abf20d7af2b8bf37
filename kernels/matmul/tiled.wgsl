// Matrix product through workgroup memory, for GPUs, and the embedded device with at most eight rows: a workgroup of 8
// x 16 invocations makes 64 x 64 outputs, each invocation 4 rows x 8 columns. STEP steps of k are staged at a time: a
// transposed as single numbers, because all columns of a row read the same one, b as vectors. STEP 32 fills the 16 KiB
// that every adapter has.
// a: matrices [M, K], or [K, M] if TRANSPOSE_A   b: [K, N], or [N, K] if TRANSPOSE_B   out: [splits, batch, M, N]

// #include tile.wgsl

override STEP: u32 = 16;                   // a multiple of 4, at most 32
var<workgroup> a_tile: array<f32, STEP * 64>;
var<workgroup> b_tile: array<vec4f, STEP * 16>;

@compute @workgroup_size(8, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tile = tile_at(group.y * groups.x + group.x, 64u, 64u);
  if (tile.matrix >= p.splits * p.batch) { return; }
  var sum: array<vec4f, 8>;
  for (var k = tile.first; k < tile.last; k += STEP) {
    for (var i = lid; i < STEP * 16u; i += 128u) {       // quads of a, each to four offsets
      if (TRANSPOSE_A == 0u) {
        let row = i / (STEP / 4u);
        let step = i % (STEP / 4u) * 4u;
        var v = vec4f();
        if (k + step < tile.last) {
          v = load_a(tile.a + min(tile.m + row, p.M - 1u) * p.K + k + step, tile.last - k - step);
        }
        for (var j = 0u; j < 4u; j++) { a_tile[(step + j) * 64u + row] = v[j]; }
      } else {
        let step = i / 16u;
        let row = i % 16u * 4u;
        var v = vec4f();
        if (k + step < tile.last && tile.m + row < p.M) {
          v = load_a(tile.a + (k + step) * p.M + tile.m + row, p.M - tile.m - row);
        }
        for (var j = 0u; j < 4u; j++) { a_tile[step * 64u + row + j] = v[j]; }
      }
    }
    for (var i = lid; i < STEP * 4u; i += 128u) {        // blocks of four steps of four columns of b
      let step = select(i / 16u, i % (STEP / 4u), TRANSPOSE_B == 1u) * 4u;
      let column = select(i % 16u, i / (STEP / 4u), TRANSPOSE_B == 1u);
      if (k + step < tile.last) {
        let y = quad_b(tile, k + step, min(tile.n + column * 4u, (p.N - 1u) / 4u * 4u));
        for (var j = 0u; j < 4u; j++) { b_tile[(step + j) * 16u + column] = y[j]; }
      } else {
        for (var j = 0u; j < 4u; j++) { b_tile[(step + j) * 16u + column] = vec4f(); }
      }
    }
    workgroupBarrier();
    if (tile.m + local.y * 4u < p.M) {                    // a last tile is rarely full
      if (tile.n + 32u < p.N) {
        for (var step = 0u; step < STEP; step++) {
          let y = b_tile[step * 16u + local.x];
          let z = b_tile[step * 16u + local.x + 8u];
          for (var r = 0u; r < 4u; r++) {
            let x = vec4f(a_tile[step * 64u + local.y * 4u + r]);
            sum[2u * r] = fma(x, y, sum[2u * r]);
            sum[2u * r + 1u] = fma(x, z, sum[2u * r + 1u]);
          }
        }
      } else {
        for (var step = 0u; step < STEP; step++) {
          let y = b_tile[step * 16u + local.x];
          for (var r = 0u; r < 4u; r++) {
            sum[2u * r] = fma(vec4f(a_tile[step * 64u + local.y * 4u + r]), y, sum[2u * r]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    finish(tile.matrix, tile.out, tile.m + local.y * 4u + r, tile.n + local.x * 4u, sum[2u * r]);
    finish(tile.matrix, tile.out, tile.m + local.y * 4u + r, tile.n + local.x * 4u + 32u, sum[2u * r + 1u]);
  }
}

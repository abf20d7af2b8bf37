// Linear map whose weight lies in strips of sixteen outputs (shared/strips.wgsl), which stay with it; x is read where
// it is. An invocation makes four rows by one strip, whose sums stay in registers. For the embedded device. Rows go
// round fastest, so a strip stays in the cache while they pass by.
// x: [M, K]   w: [N / 16][K] of sixteen   out: [M, N]   bias: [N]   residual: [M, N]; N is whole strips

struct Params { M: u32, N: u32, K: u32 }
@group(0) @binding(5) var<uniform> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<Block>;
override X: u32 = 16;                      // quads of rows of a workgroup
override Y: u32 = 4;                       // strips of it
override COLUMNS: u32 = 4;                 // vectors of a strip

// #include output.wgsl
// #include finish-row.wgsl

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u) {
  let down = (p.M + 4u * X - 1u) / (4u * X);
  let index = group.y * groups.x + group.x;
  let m = (index % down * X + local.x) * 4u;
  let strip = index / down * Y + local.y;
  if (m >= p.M || strip * 16u >= p.N) { return; }
  // Rows beyond the last read it again and are not stored.
  let a = m * p.K;
  let b = min(m + 1u, p.M - 1u) * p.K;
  let c = min(m + 2u, p.M - 1u) * p.K;
  let d = min(m + 3u, p.M - 1u) * p.K;
  let at = strip * p.K;
  var sum: array<vec4f, 16>;
  for (var k = 0u; k < p.K; k++) {
    let s = vec4f(x[a + k]);
    let t = vec4f(x[b + k]);
    let u = vec4f(x[c + k]);
    let v = vec4f(x[d + k]);
    // #include ../shared/strip-step.wgsl
  }
  for (var r = 0u; r < 4u; r++) {
    var row: array<vec4f, 4>;
    for (var q = 0u; q < 4u; q++) { row[q] = sum[4u * r + q]; }
    finish_row(0u, 0u, m + r, strip * 16u, row);
  }
}

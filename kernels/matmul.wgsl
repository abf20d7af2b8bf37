// Matrix product with register tiles: out[m, n] = sum over k of a[m, k] b[k, n]. Each invocation makes ROWS x 4 COLUMNS
// outputs, four steps of k at a time, so that few loads feed many multiply-adds. No workgroup memory.
// a: matrices [M, K], or [K, M] if TRANSPOSE_A   b: [K, N], or [N, K] if TRANSPOSE_B   out: [splits, batch, M, N]

struct Params {
  M: u32, N: u32, K: u32,
  batch: u32, inner: u32,                  // batch = outer x inner; strides are elements from one matrix to the next, 0 to share it
  a_outer: u32, a_inner: u32, b_outer: u32, b_inner: u32,
  a_first: u32, b_first: u32, out_first: u32,
  splits: u32, depth: u32,                 // split s sums k from s x depth on; depth is a multiple of four
  epilogue: u32,
}
@group(0) @binding(5) var<uniform> p: Params;

// Spliced in: load_a, load_b (four elements from an index on), element_a, element_b, and finish (epilogue and store).
/*memory*/

override TRANSPOSE_A: u32 = 0;
override TRANSPOSE_B: u32 = 0;
override ROWS: u32 = 8;                    // at most 8, a multiple of 4
override COLUMNS: u32 = 2;                 // vectors of four, at most 2
override X: u32 = 8;                       // invocations of a workgroup along n, and along m
override Y: u32 = 8;

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let width = COLUMNS * 4u;
  let across = (p.N + X * width - 1u) / (X * width);
  let down = (p.M + Y * ROWS - 1u) / (Y * ROWS);
  let tile = group.y * groups.x + group.x;
  let matrix = tile / (across * down);     // split x batch
  if (matrix >= p.splits * p.batch) { return; }
  let n = (tile % across * X + local.x) * width;
  let m = (tile / across % down * Y + local.y) * ROWS;
  if (m >= p.M || n >= p.N) { return; }

  let outer = matrix % p.batch / p.inner;
  let inner = matrix % p.inner;
  let a_start = p.a_first + outer * p.a_outer + inner * p.a_inner;
  let b_start = p.b_first + outer * p.b_outer + inner * p.b_inner;
  let first = matrix / p.batch * p.depth;
  let last = min(first + p.depth, p.K);
  let quads = first + (last - first) / 4u * 4u;

  var x: array<vec4f, 8>;                  // x[r]: row m + r, four steps of k
  var y: array<vec4f, 8>;                  // y[4c + i]: four columns of block c at step i
  var sum: array<vec4f, 16>;
  for (var k = first; k < quads; k += 4u) {
    if (TRANSPOSE_A == 0u) {
      for (var r = 0u; r < ROWS; r++) { x[r] = load_a(a_start + min(m + r, p.M - 1u) * p.K + k); }
    } else {
      for (var r = 0u; r < ROWS; r += 4u) {
        let at = a_start + k * p.M + min(m + r, (p.M - 1u) / 4u * 4u);
        let s = load_a(at);
        let t = load_a(at + p.M);
        let u = load_a(at + 2u * p.M);
        let v = load_a(at + 3u * p.M);
        x[r] = vec4f(s.x, t.x, u.x, v.x);
        x[r + 1u] = vec4f(s.y, t.y, u.y, v.y);
        x[r + 2u] = vec4f(s.z, t.z, u.z, v.z);
        x[r + 3u] = vec4f(s.w, t.w, u.w, v.w);
      }
    }
    for (var c = 0u; c < COLUMNS; c++) {
      let column = n + 4u * c;
      if (TRANSPOSE_B == 0u) {
        let at = b_start + k * p.N + min(column, (p.N - 1u) / 4u * 4u);
        for (var i = 0u; i < 4u; i++) { y[4u * c + i] = load_b(at + i * p.N); }
      } else {
        let s = load_b(b_start + min(column, p.N - 1u) * p.K + k);
        let t = load_b(b_start + min(column + 1u, p.N - 1u) * p.K + k);
        let u = load_b(b_start + min(column + 2u, p.N - 1u) * p.K + k);
        let v = load_b(b_start + min(column + 3u, p.N - 1u) * p.K + k);
        y[4u * c] = vec4f(s.x, t.x, u.x, v.x);
        y[4u * c + 1u] = vec4f(s.y, t.y, u.y, v.y);
        y[4u * c + 2u] = vec4f(s.z, t.z, u.z, v.z);
        y[4u * c + 3u] = vec4f(s.w, t.w, u.w, v.w);
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      for (var c = 0u; c < COLUMNS; c++) {
        let i = r * COLUMNS + c;
        sum[i] = fma(vec4f(x[r].x), y[4u * c], sum[i]);
        sum[i] = fma(vec4f(x[r].y), y[4u * c + 1u], sum[i]);
        sum[i] = fma(vec4f(x[r].z), y[4u * c + 2u], sum[i]);
        sum[i] = fma(vec4f(x[r].w), y[4u * c + 3u], sum[i]);
      }
    }
  }
  for (var k = quads; k < last; k++) {      // at most three steps, so that nothing beyond K enters a sum
    for (var c = 0u; c < COLUMNS; c++) {
      let column = n + 4u * c;
      if (TRANSPOSE_B == 0u) {
        y[c] = load_b(b_start + k * p.N + min(column, (p.N - 1u) / 4u * 4u));
      } else {
        y[c] = vec4f(element_b(b_start + min(column, p.N - 1u) * p.K + k), element_b(b_start + min(column + 1u, p.N - 1u) * p.K + k),
          element_b(b_start + min(column + 2u, p.N - 1u) * p.K + k), element_b(b_start + min(column + 3u, p.N - 1u) * p.K + k));
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      let row = min(m + r, p.M - 1u);
      let value = element_a(a_start + select(row * p.K + k, k * p.M + row, TRANSPOSE_A == 1u));
      for (var c = 0u; c < COLUMNS; c++) { sum[r * COLUMNS + c] = fma(vec4f(value), y[c], sum[r * COLUMNS + c]); }
    }
  }
  let start = p.out_first + matrix * p.M * p.N;
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < COLUMNS; c++) {
      let column = n + 4u * c;
      if (m + r < p.M && column < p.N) { finish(start + (m + r) * p.N + column, column, min(4u, p.N - column), sum[r * COLUMNS + c]); }
    }
  }
}

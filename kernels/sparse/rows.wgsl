// Rows of a sparse product are those of matrices x [M, K] and out [M, N]. Spliced in with it: load_x, four elements
// from an index on, of which those after the first `left` are zero (they are never read), and what finish.wgsl calls.

// #include ../matmul/finish.wgsl

// Where the four rows from m on begin; behind the last one they repeat.
fn rows_at(m: u32) -> vec4u { return min(vec4u(m) + vec4u(0u, 1u, 2u, 3u), vec4u(p.M - 1u)) * p.K; }

// Four steps of k of four rows, one vector of rows per step; from K on there are zeros.
fn quad_x(rows: vec4u, k: u32) -> array<vec4f, 4> {
  let left = p.K - k;
  let s = load_x(rows.x + k, left);
  let t = load_x(rows.y + k, left);
  let u = load_x(rows.z + k, left);
  let v = load_x(rows.w + k, left);
  return array<vec4f, 4>(vec4f(s.x, t.x, u.x, v.x), vec4f(s.y, t.y, u.y, v.y), vec4f(s.z, t.z, u.z, v.z),
    vec4f(s.w, t.w, u.w, v.w));
}

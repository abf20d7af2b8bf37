// Part of every matrix product: sizes, which tile a workgroup makes, how b is read, what happens to sums on their
// way out.

struct Params {
  M: u32, N: u32, K: u32,
  // batch = outer x inner; strides are elements from one matrix to the next, 0 to share it
  batch: u32, inner: u32,
  a_outer: u32, a_inner: u32, b_outer: u32, b_inner: u32,
  a_first: u32, b_first: u32, out_first: u32,
  out_step: u32,                           // from one matrix of out to the next; 0 where each has a buffer of its own
  splits: u32, per_split: u32,                 // split s sums k from s x per_split on, which is a multiple of four
}
@group(0) @binding(5) var<uniform> p: Params;

override TRANSPOSE_A: u32 = 0;
override TRANSPOSE_B: u32 = 0;

// What one workgroup does: rows from m, columns from n, steps of k from first to last. a, b and out are where its
// matrices start.
struct Tile { matrix: u32, m: u32, n: u32, first: u32, last: u32, a: u32, b: u32, out: u32 }

fn tile_at(index: u32, rows: u32, columns: u32) -> Tile {
  let across = (p.N + columns - 1u) / columns;
  let down = (p.M + rows - 1u) / rows;
  let matrix = index / (across * down);    // split x batch
  let outer = matrix % p.batch / p.inner;
  let inner = matrix % p.inner;
  let first = matrix / p.batch * p.per_split;
  return Tile(matrix, index / across % down * rows, index % across * columns, first, min(first + p.per_split, p.K),
    p.a_first + outer * p.a_outer + inner * p.a_inner, p.b_first + outer * p.b_outer + inner * p.b_inner,
    p.out_first + matrix * p.out_step);
}

// Spliced in turn: load_a, load_b, load_bias, load_residual: four elements from an index on, of which those after the
// first
// `left` are zero (they are never read); and store. `which` is the matrix, where several weights have a buffer each.
/*memory*/

// Four steps of k of the four columns from `column` on, one vector of columns per step. Steps beyond the last may hold
// anything finite.
fn quad_b(tile: Tile, k: u32, column: u32) -> array<vec4f, 4> {
  if (TRANSPOSE_B == 0u) {
    let at = tile.b + column;
    let left = p.N - column;
    return array<vec4f, 4>(load_b(tile.matrix, at + k * p.N, left),
      load_b(tile.matrix, at + min(k + 1u, p.K - 1u) * p.N, left),
      load_b(tile.matrix, at + min(k + 2u, p.K - 1u) * p.N, left),
      load_b(tile.matrix, at + min(k + 3u, p.K - 1u) * p.N, left));
  }
  let left = tile.last - k;
  let s = load_b(tile.matrix, tile.b + column * p.K + k, left);
  let t = load_b(tile.matrix, tile.b + min(column + 1u, p.N - 1u) * p.K + k, left);
  let u = load_b(tile.matrix, tile.b + min(column + 2u, p.N - 1u) * p.K + k, left);
  let v = load_b(tile.matrix, tile.b + min(column + 3u, p.N - 1u) * p.K + k, left);
  return array<vec4f, 4>(vec4f(s.x, t.x, u.x, v.x), vec4f(s.y, t.y, u.y, v.y), vec4f(s.z, t.z, u.z, v.z),
    vec4f(s.w, t.w, u.w, v.w));
}

/*output*/

// Behind a pattern's own kernel of the gradient to x: out[m, k] = sum over n of dy[m, n] w[n, k].
// out: [M, K]

// #include params.wgsl

@group(0) @binding(4) var<storage, read_write> out: array</*element*/f32>;

// The sum of one row and one input (of four from `column` on, where out is vectors). Outside M x K nothing happens.
fn put(row: u32, column: u32, sum: /*element*/f32) {
  if (row >= p.M || column >= p.K) { return; }
  out[(row * p.K + column) / /*size*/1u] = sum;
}

// Goes with output.wgsl: four neighbouring sums at a time, whatever the rows of out are.

// The sums of four columns from n on in one row of matrix `which`, which starts at `start`. Outside M x N nothing
// happens.
fn finish(which: u32, start: u32, row: u32, n: u32, sums: vec4f) {
  if (row >= p.M || n >= p.N) { return; }
  let at = start + row * p.N + n;
  let left = p.N - n;
  var result = sums;
  if (BIAS == 1u) { result += load_bias(which, n, left); }
  if (GELU == 1u) { result = gelu(result); }
  if (RESIDUAL == 1u) { result += load_residual(at, left); }
  store(which, at, left, result);
}

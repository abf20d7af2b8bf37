// Spliced into the matrix products: what happens to four sums (or fewer, at the end of a row) on their way out.
// bias: [N]   residual: the shape of out   p.epilogue: 0 nothing, 1 bias, 2 bias and GELU, 3 bias and residual

// erf by Abramowitz and Stegun 7.1.26, absolute error below 2e-7.
fn gelu(x: vec4f) -> vec4f {
  let z = abs(x) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let erf = sign(x) * (1.0 - series * exp(-z * z));
  return 0.5 * x * (1.0 + erf);
}

// value belongs to out[at .. at + count] and to the columns from n on.
fn finish(at: u32, n: u32, count: u32, value: vec4f) {
  var result = value;
  if (p.epilogue > 0u) { result += load_bias(n); }
  if (p.epilogue == 2u) { result = gelu(result); }
  if (p.epilogue == 3u) { result += load_residual(at); }
  store(at, count, result);
}

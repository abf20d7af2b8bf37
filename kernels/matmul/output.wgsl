// Part of the matrix products and the second pass of split ones: what happens to sums on their way out.
// bias: [N]   residual: the shape of out; matmul/finish.wgsl or matmul/finish-row.wgsl reads them.
// Overrides, because an epilogue that may happen costs a driver seconds to compile.

override BIAS: u32 = 0;
override GELU: u32 = 0;
override RESIDUAL: u32 = 0;

// erf by Abramowitz and Stegun 7.1.26, absolute error below 2e-7.
fn gelu(x: vec4f) -> vec4f {
  let z = abs(x) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return 0.5 * x * (1.0 + sign(x) * (1.0 - series * exp(-z * z)));
}

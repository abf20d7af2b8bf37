// Part of the convolutions that finish what they make before they store it: sums times a scale plus a shift of their
// output, plus a residual, and that through relu, each where it is asked for.
// factors: [groups, outputs], scale and shift   residual: the shape of y, in the elements of y

override AFFINE: u32 = 0;
override RESIDUAL: u32 = 0;
override RELU: u32 = 0;
@group(0) @binding(5) var<storage, read> factors: array<vec2f>;

fn scaled(sums: vec4f, output: u32) -> vec4f {
  if (AFFINE == 1u) { return sums * factors[output].x + factors[output].y; }
  return sums;
}

fn rectified(sums: vec4f) -> vec4f {
  if (RELU == 1u) { return select(sums, vec4f(0.0), sums < vec4f(0.0)); }
  return sums;
}

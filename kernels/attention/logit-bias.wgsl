// What is added to scores.
// biases: [H, N, M]   masks: [G, N, M]

override BIAS: u32 = 0;                    // whether there are a bias and a mask
override MASK: u32 = 0;

const lowest = -3.0e38;                    // stands for -infinity, which would turn differences into NaN

// Bias plus mask of four pairs of a query and a key; a row or column past the end counts as the last one.
fn logit_bias(b: u32, h: u32, query: vec4u, key: vec4u) -> vec4f {
  let at = min(query, vec4u(p.N - 1u)) * p.M + min(key, vec4u(p.M - 1u));
  var x = vec4f(0);
  if (BIAS > 0u) {
    let i = vec4u(h * p.N * p.M) + at;
    x += vec4f(biases[i.x], biases[i.y], biases[i.z], biases[i.w]);
  }
  if (MASK > 0u) {
    let i = vec4u(b % p.G * p.N * p.M) + at;
    x += vec4f(masks[i.x], masks[i.y], masks[i.z], masks[i.w]);
  }
  return max(x, vec4f(lowest));
}

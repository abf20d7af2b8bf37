// What is added to the score of one pair, for software drivers: flags are parameters, because each override that
// differs is a kernel more to compile.
// biases: [H, N, M]   masks: [G, N, M]

const lowest = -3.0e38;                    // stands for -infinity, which would turn differences into NaN

fn pair_bias(b: u32, h: u32, query: u32, key: u32) -> f32 {
  let row = min(query, p.N - 1u);
  let column = min(key, p.M - 1u);
  var x = 0.0;
  if (p.bias != 0u) { x += biases[(h * p.N + row) * p.M + column]; }
  if (p.mask != 0u) { x += masks[(b % p.G * p.N + row) * p.M + column]; }
  return max(x, lowest);
}

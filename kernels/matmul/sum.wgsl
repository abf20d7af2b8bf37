// The second pass of whatever was split, and sums over a middle axis (gradients of a bias, of a broadcast argument):
// out[o, split, m, n] = sum over s of a[o, s, m, n], then the epilogue. Always in the same order, so two runs give the
// same bits. The sum over s may itself be split into `per_split` terms each, which another launch adds. a: [outer,
// count, M, N]

struct Params { outer: u32, count: u32, M: u32, N: u32, splits: u32, per_split: u32 }
@group(0) @binding(5) var<uniform> p: Params;

// Spliced in: load_a, load_bias, load_residual, store.
/*memory*/

/*output*/

// quads of columns that an invocation sums side by side: 4 fill a line of a processor's cache
override EACH: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let across = (p.N + 4u * EACH - 1u) / (4u * EACH);
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.outer * p.splits * p.M * across) { return; }
  let n = i % across * 4u * EACH;
  let m = i / across % p.M;
  let split = i / across / p.M;            // counts through outer as well
  let first = split % p.splits * p.per_split;
  let last = min(first + p.per_split, p.count);
  let step = p.M * p.N;
  let start = split / p.splits * p.count * step + m * p.N + n;
  let left = p.N - n;
  var sum: array<vec4f, 8>;             // two partial sums of each quad: shorter chains, smaller errors
  for (var i = 0u; i < (last - first) / 2u; i++) {
    let at = start + (first + 2u * i) * step;
    for (var c = 0u; c < EACH; c++) { sum[2u * c] += load_a(at + 4u * c, left - 4u * c); }
    for (var c = 0u; c < EACH; c++) { sum[2u * c + 1u] += load_a(at + step + 4u * c, left - 4u * c); }
  }
  if ((last - first) % 2u == 1u) {
    for (var c = 0u; c < EACH; c++) { sum[2u * c] += load_a(start + (last - 1u) * step + 4u * c, left - 4u * c); }
  }
  for (var c = 0u; c < EACH; c++) { finish(0u, split * step, m, n + 4u * c, sum[2u * c] + sum[2u * c + 1u]); }
}

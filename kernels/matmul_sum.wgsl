// The second pass of a split product, and sums over a middle axis (gradients of a bias, of a broadcast argument):
// out[o, piece, m, n] = sum over s of a[o, s, m, n], then the epilogue. Always in the same order, so two runs give the same bits.
// The sum over s may itself be cut into pieces of `depth` terms, which another launch adds. a: [outer, count, M, N]

struct Params { outer: u32, count: u32, M: u32, N: u32, pieces: u32, depth: u32 }
@group(0) @binding(5) var<uniform> p: Params;

// Spliced in: load_a, load_bias, load_residual, store.
/*memory*/

/*output*/

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let quads = (p.N + 3u) / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= p.outer * p.pieces * p.M * quads) { return; }
  let n = i % quads * 4u;
  let m = i / quads % p.M;
  let piece = i / quads / p.M;             // counts through outer as well
  let first = piece % p.pieces * p.depth;
  let last = min(first + p.depth, p.count);
  let step = p.M * p.N;
  let start = piece / p.pieces * p.count * step + m * p.N + n;
  let left = p.N - n;
  var sum: array<vec4f, 2>;             // two partial sums: shorter chains, smaller errors
  for (var s = first; s < last; s += 2u) {
    sum[0] += load_a(start + s * step, left);
    if (s + 1u < last) { sum[1] += load_a(start + (s + 1u) * step, left); }
  }
  finish(0u, piece * step, m, n, sum[0] + sum[1]);
}

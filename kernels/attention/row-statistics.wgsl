// What the backward pass of attention needs of each query, in one place. out, dout: [B, N, H, E]  logsum: [B, H, N]
// stats: [B, H, N] pairs of the log-sum and delta = dout . out, the mean of dout . v under the query's weights.

struct Params { N: u32, H: u32, E: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> out: array</*E*/f32>;
@group(0) @binding(1) var<storage, read> dout: array</*E*/f32>;
@group(0) @binding(2) var<storage, read> logsum: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(4) var<uniform> p: Params;

// Spliced in: load_out, load_dout: four entries of a row from e on, zeros past its end.
/*rows*/

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lid;
  if (row >= p.rows) { return; }
  var sum = vec4f(0);
  for (var e = 0u; e < p.E; e += 4u) { sum += load_out(row, e) * load_dout(row, e); }
  let at = (row / (p.N * p.H) * p.H + row % p.H) * p.N + row / p.H % p.N;
  stats[at] = vec2f(logsum[at], dot(sum, vec4f(1)));
}

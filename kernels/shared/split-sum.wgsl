// Adds partial sums: split_sums: [splits, size] -> out: [size].

struct Params { splits: u32, size: u32 }
@group(0) @binding(0) var<storage, read> split_sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.size) { return; }
  var sum = vec4f(0.0);
  var split = 0u;
  for (; split + 4u <= p.splits; split += 4u) {
    let at = split * p.size + i;
    sum += vec4f(split_sums[at], split_sums[at + p.size], split_sums[at + 2u * p.size], split_sums[at + 3u * p.size]);
  }
  for (; split < p.splits; split++) { sum.x += split_sums[split * p.size + i]; }
  out[i] = (sum.x + sum.y) + (sum.z + sum.w);
}

// Adds partial sums: parts: [shares, size] -> out: [size].

struct Params { shares: u32, size: u32 }
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= p.size) { return; }
  var sum = vec4f(0.0);
  var share = 0u;
  for (; share + 4u <= p.shares; share += 4u) {
    let at = share * p.size + i;
    sum += vec4f(parts[at], parts[at + p.size], parts[at + 2u * p.size], parts[at + 3u * p.size]);
  }
  for (; share < p.shares; share++) { sum.x += parts[share * p.size + i]; }
  out[i] = (sum.x + sum.y) + (sum.z + sum.w);
}

// Sums of gradients. x, y, out: [size], four elements per invocation; buffers are padded to whole vectors.

struct Params { size: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> p: Params;

fn index(group: vec3u, groups: vec3u, lid: u32) -> u32 {
  return (group.y * groups.x + group.x) * 64u + lid;
}

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u < p.size) { out[i] = x[i] + y[i]; }
}

@compute @workgroup_size(64)
fn add_into(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u < p.size) { out[i] = out[i] + x[i]; }
}

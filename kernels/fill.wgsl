// Constants and copies. out, x: [size], four elements per invocation; buffers are padded to whole vectors.

struct Params { size: u32, value: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4u>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn fill(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u < p.size) { out[i] = vec4u(bitcast<u32>(p.value)); }
}

// Moves bits, so that it serves every dtype.
@compute @workgroup_size(64)
fn copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u < p.size) { out[i] = x[i]; }
}

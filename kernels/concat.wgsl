// One part of a concatenation: x [rows, width] becomes columns `first` to `first + width` of out [rows, total].

struct Params { rows: u32, width: u32, first: u32, total: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x4: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out4: array<vec4f>;
@group(0) @binding(4) var<uniform> p: Params;

// width, first and total are multiples of four
@compute @workgroup_size(64)
fn vectors(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let row = 4u * i / p.width;
  if (row < p.rows) { out4[i + (row * (p.total - p.width) + p.first) / 4u] = x4[i]; }
}

@compute @workgroup_size(64)
fn elements(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let row = i / p.width;
  if (row < p.rows) { out[i + row * (p.total - p.width) + p.first] = x[i]; }
}

// What follows a convolution that does not finish by itself, in place and in one pass: y [batch, channels, plane] times
// a scale plus a shift of its channel, plus a residual of its shape, and that through relu. Elements are vectors where
// planes are whole ones. An invocation makes up to EACH neighbouring elements of a plane.

struct Params { planes: u32, channels: u32, plane: u32 }
@group(0) @binding(0) var<storage, read_write> y: array</*element*/f32>;
@group(0) @binding(1) var<storage, read> residual: array</*element*/f32>;
@group(0) @binding(2) var<uniform> p: Params;
override EACH: u32 = 16;

// #include finish-sums.wgsl

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  let parts = (p.plane + EACH - 1u) / EACH;
  let number = job / parts;
  if (number >= p.planes) { return; }
  let first = job % parts * EACH;
  let factor = factors[number % p.channels * AFFINE];
  for (var i = first; i < min(first + EACH, p.plane); i++) {
    let at = number * p.plane + i;
    var value = y[at];
    if (AFFINE == 1u) { value = value * factor.x + factor.y; }
    if (RESIDUAL == 1u) { value += residual[at]; }
    if (RELU == 1u) { value = select(value, /*element*/f32(0.0), value < /*element*/f32(0.0)); }
    y[at] = value;
  }
}

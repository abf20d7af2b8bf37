// Tables that spare a convolution's inner loops their divisions.

struct Params {
  size: u32, taps_y: u32, taps_x: u32, modulus: u32, plane: u32, row: u32, next_part: u32,
  channel_stride: u32, kernel_x: u32, first_y: i32, step_y: i32, first_x: i32, step_x: i32,
  height: u32, width: u32, batch_stride: u32, next_row: u32, batch_stride_y: u32,
}
@group(0) @binding(0) var<storage, read_write> offsets: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> pixel_offsets: array<vec2u>;
@group(0) @binding(2) var<uniform> p: Params;

// offsets: [channels, taps_y, taps_x]: how far tap (u, v) of a channel is from the first tap of the first channel in
// the image, and where its weight is from the first one of an output. The gradient to the input reads the kernel
// backwards.
@compute @workgroup_size(64)
fn taps(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.size) { return; }
  let v = i % p.taps_x;
  let u = i / p.taps_x % p.taps_y;
  let channel = i / (p.taps_x * p.taps_y);
  let tap = u32(p.first_y + i32(u) * p.step_y) * p.kernel_x + u32(p.first_x + i32(v) * p.step_x);
  offsets[i] = vec2u(channel * p.plane + u * p.row + v % p.modulus * p.next_part + v / p.modulus,
    channel * p.channel_stride + tap);
}

// pixel_offsets: [batch, height, width]: where the first tap of a pixel reads, and where its gradient is.
@compute @workgroup_size(64)
fn pixels(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.size) { return; }
  let n = i / (p.height * p.width);
  let pixel = i % (p.height * p.width);
  pixel_offsets[i] = vec2u(n * p.batch_stride + pixel / p.width * p.next_row + pixel % p.width,
    n * p.batch_stride_y + pixel);
}

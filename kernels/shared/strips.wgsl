// Weights of a convolution in strips of sixteen outputs, as blocked.wgsl reads them: [groups][strips][taps_y][taps_x]
// [channels] of sixteen, zero beyond the last output. Which tap stands where is linear: the gradient to the input reads
// the kernel backwards and every n-th tap of it. An invocation packs all taps of one channel for one strip.

struct Params {
  size: u32, taps_y: u32, taps_x: u32, group_stride: u32,
  strips: u32, outputs: u32, channels: u32, output_stride: u32, channel_stride: u32, width: u32,
  first_y: i32, step_y: i32, first_x: i32, step_x: i32,
}
alias Strip = array<vec4f, 4>;
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<Strip>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= p.size) { return; }
  let channel = number % p.channels;
  let strip = number / p.channels % p.strips;
  let base = number / (p.channels * p.strips) * p.group_stride + channel * p.channel_stride;
  let taps = p.taps_y * p.taps_x;
  let to = number / p.channels * taps * p.channels + channel;
  for (var q = 0u; q < 4u; q++) {
    let o = strip * 16u + 4u * q;
    // Outputs beyond the last read it again and count nothing.
    let at = base + min(vec4u(o) + vec4u(0u, 1u, 2u, 3u), vec4u(p.outputs - 1u)) * p.output_stride;
    let inside = vec4u(o) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.outputs);
    for (var tap = 0u; tap < taps; tap++) {
      let place = u32(p.first_y + i32(tap / p.taps_x) * p.step_y) * p.width
        + u32(p.first_x + i32(tap % p.taps_x) * p.step_x);
      let values = vec4f(w[at.x + place], w[at.y + place], w[at.z + place], w[at.w + place]);
      out[to + tap * p.channels][q] = select(vec4f(), values, inside);
    }
  }
}

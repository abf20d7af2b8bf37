// Kernels of three by three transformed for Winograd's convolution, in strips of sixteen outputs: [POINTS POINTS]
// [strips][channels] of sixteen, zero beyond the last output. Which tap stands where is linear, as in
// shared/strips.wgsl. An invocation transforms one channel for one strip.

struct Params {
  size: u32, strips: u32, outputs: u32, channels: u32, output_stride: u32, channel_stride: u32, width: u32,
  first_y: i32, step_y: i32, first_x: i32, step_x: i32,
}
alias Strip = array<vec4f, 4>;
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<Strip>;
@group(0) @binding(2) var<uniform> p: Params;

/*transform*/

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= p.size) { return; }
  let channel = number % p.channels;
  let strip = number / p.channels;
  for (var q = 0u; q < 4u; q++) {
    let o = vec4u(strip * 16u + 4u * q) + vec4u(0u, 1u, 2u, 3u);
    // Outputs beyond the last read it again and count nothing.
    let at = channel * p.channel_stride + min(o, vec4u(p.outputs - 1u)) * p.output_stride;
    let inside = o < vec4u(p.outputs);
    var columns: array<Line, 3>;
    for (var v = 0u; v < 3u; v++) {
      var taps: array<vec4f, 3>;
      for (var u = 0u; u < 3u; u++) {
        let s = at + u32(p.first_y + i32(u) * p.step_y) * p.width + u32(p.first_x + i32(v) * p.step_x);
        taps[u] = select(vec4f(), vec4f(w[s.x], w[s.y], w[s.z], w[s.w]), inside);
      }
      columns[v] = of_weight(taps[0], taps[1], taps[2]);
    }
    for (var i = 0u; i < POINTS; i++) {
      let row = of_weight(columns[0][i], columns[1][i], columns[2][i]);
      for (var j = 0u; j < POINTS; j++) { out[(i * POINTS + j) * p.size + number][q] = row[j]; }
    }
  }
}

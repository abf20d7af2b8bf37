// Sums of splits of a weight's gradient, and taps where the weight has them: parts [splits, outputs, taps, channels] ->
// dw [outputs, channels, taps]. An invocation makes all taps of four channels of one output.

struct Params { splits: u32, outputs: u32, taps: u32, quads: u32 }
@group(0) @binding(0) var<storage, read> parts: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  if (job >= p.outputs * p.quads) { return; }
  let size = p.outputs * p.taps * p.quads;
  let first = job / p.quads * p.taps * p.quads + job % p.quads;
  for (var tap = 0u; tap < p.taps; tap++) {
    var sum = vec4f(0.0);
    for (var split = 0u; split < p.splits; split++) { sum += parts[split * size + first + tap * p.quads]; }
    let to = job * 4u * p.taps + tap;
    dw[to] = sum.x;
    dw[to + p.taps] = sum.y;
    dw[to + 2u * p.taps] = sum.z;
    dw[to + 3u * p.taps] = sum.w;
  }
}

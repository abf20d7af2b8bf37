// Sums over everything but the channel: the gradient of a bias. x: [batch, channels, size] -> out: [channels].
// One workgroup per channel; every lid keeps four partial sums.

// #include group-sum.wgsl
alias Sum = f32;

struct Params { batch: u32, channels: u32, size: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let channel = group.y * groups.x + group.x;
  var sum = vec4f(0.0);
  if (channel < p.channels) {
    for (var n = 0u; n < p.batch; n++) {
      let base = (n * p.channels + channel) * p.size;
      var i = lid * 4u;
      for (; i + 4u <= p.size; i += THREADS * 4u) {
        sum += vec4f(x[base + i], x[base + i + 1u], x[base + i + 2u], x[base + i + 3u]);
      }
      for (; i < p.size; i++) { sum.x += x[base + i]; }
    }
  }
  let all = group_sum(lid, dot(sum, vec4f(1.0)));
  if (lid == 0u && channel < p.channels) { out[channel] = all; }
}

// Gradients of batch norm. x, dy, dx: [batch, channels, size]; the rest is per channel. See batchnorm/forward.wgsl for
// the vectors.

// #include ../shared/group-sum.wgsl
alias Sum = vec2f;

struct Params { batch: u32, channels: u32, size: u32, splits: u32, per_split: u32, per_thread: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> saved: array<vec2f>;                  // mean and 1 / std
// [splits, channels]: sums of dy and of dy (x - mean)
@group(0) @binding(3) var<storage, read_write> split_sums: array<vec2f>;
@group(0) @binding(4) var<storage, read> gain: array<f32>;
@group(0) @binding(5) var<storage, read_write> dgain: array<f32>;
@group(0) @binding(6) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(7) var<storage, read_write> factors: array<vec4f>;          // what `apply` needs of a channel
@group(0) @binding(8) var<storage, read> known: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> scale: array<vec2f>;
@group(0) @binding(11) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn sums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = group.y * groups.x + group.x;
  let channel = number % p.channels;
  let split = number / p.channels;
  let centre = saved[channel].x;
  let along = p.size >= THREADS;
  let last = select(0u, min(p.batch, (split + 1u) * p.per_split), split < p.splits);
  var sum = vec4f(0.0);
  var products = vec4f(0.0);
  for (var n = split * p.per_split + select(lid, 0u, along); n < last; n += select(THREADS, 1u, along)) {
    let begin = (n * p.channels + channel) * p.size;
    let end = begin + p.size;
    for (var i = begin / 4u + select(0u, lid, along); i * 4u < end; i += select(1u, THREADS, along)) {
      let position = vec4u(i * 4u) + vec4u(0u, 1u, 2u, 3u);
      let inside = (position >= vec4u(begin)) & (position < vec4u(end));
      let grad = select(vec4f(0.0), dy[i], inside);
      sum += grad;
      products += grad * select(vec4f(0.0), x[i] - centre, inside);
    }
  }
  let all = group_sum(lid, vec2f(dot(sum, vec4f(1.0)), dot(products, vec4f(1.0))));
  if (lid == 0u && split < p.splits) { split_sums[number] = all; }
}

// dgain and dbias, and for dx = a (dy - mean(dy) - (x - mean) b): a, mean(dy), mean and b.
@compute @workgroup_size(THREADS)
fn finish(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let channel = (group.y * groups.x + group.x) * THREADS + lid;
  if (channel >= p.channels) { return; }
  var sum = vec2f(0.0);
  for (var split = 0u; split < p.splits; split++) { sum += split_sums[split * p.channels + channel]; }
  let count = f32(p.batch * p.size);
  let rstd = saved[channel].y;
  dgain[channel] = sum.y * rstd;
  dbias[channel] = sum.x;
  factors[channel] = vec4f(gain[channel] * rstd, sum.x / count, saved[channel].x, sum.y * rstd * rstd / count);
}

// What dy is multiplied with where the statistics are constants: gain / std, and nothing is added.
@compute @workgroup_size(THREADS)
fn constant(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let channel = (group.y * groups.x + group.x) * THREADS + lid;
  if (channel < p.channels) { scale[channel] = vec2f(gain[channel] * saved[channel].y, 0.0); }
}

@compute @workgroup_size(THREADS)
fn apply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * THREADS + lid;
  if (p.size % 4u == 0u) {
    let vectors = p.size / 4u;
    let threads = (vectors + p.per_thread - 1u) / p.per_thread;
    let plane = job / threads;
    if (plane >= p.batch * p.channels) { return; }
    let first = job % threads * p.per_thread;
    let f = known[plane % p.channels];
    for (var k = first; k < min(first + p.per_thread, vectors); k++) {
      let i = plane * vectors + k;
      dx[i] = f.x * (dy[i] - f.y - (x[i] - f.z) * f.w);
    }
    return;
  }
  if (job * 4u >= p.batch * p.channels * p.size) { return; }
  var channel = job * 4u / p.size % p.channels;
  var left = p.size - job * 4u % p.size;
  let value = x[job];
  let grad = dy[job];
  var result = vec4f(0.0);
  for (var t = 0u; t < 4u; t++) {
    let f = known[channel];
    result[t] = f.x * (grad[t] - f.y - (value[t] - f.z) * f.w);
    left -= 1u;
    if (left == 0u) {
      left = p.size;
      channel = select(channel + 1u, 0u, channel + 1u == p.channels);
    }
  }
  dx[job] = result;
}

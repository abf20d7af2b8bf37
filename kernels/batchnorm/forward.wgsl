// Batch norm: statistics per channel, and y = x scale + shift. x, y: [batch, channels, size]; the rest is per channel.
// Everything moves in vec4f; where `size` is no multiple of 4, a vector holds the ends of two channels.

// #include ../shared/group-sum.wgsl
alias Sum = vec2f;

struct Params {
  batch: u32, channels: u32, size: u32, splits: u32, per_split: u32, per_thread: u32, eps: f32, momentum: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
// [splits, channels]: sums of x - first and of its square
@group(0) @binding(1) var<storage, read_write> split_sums: array<vec2f>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> saved: array<vec2f>;            // mean and 1 / std of the batch
@group(0) @binding(7) var<storage, read_write> affine: array<vec2f>;           // scale and shift
@group(0) @binding(8) var<storage, read> fixed_mean: array<f32>;
@group(0) @binding(9) var<storage, read> fixed_variance: array<f32>;
@group(0) @binding(10) var<storage, read> factors: array<vec2f>;
@group(0) @binding(11) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(12) var<uniform> p: Params;

// A workgroup sums one channel of a split of the batch. Subtracting the channel's first value keeps the squares from
// cancelling.
@compute @workgroup_size(THREADS)
fn moments(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = group.y * groups.x + group.x;
  let channel = number % p.channels;
  let split = number / p.channels;
  let at = channel * p.size;
  let first = x[at / 4u][at % 4u];
  // Lanes go along large planes, or along the batch where planes are small.
  let along = p.size >= THREADS;
  let last = select(0u, min(p.batch, (split + 1u) * p.per_split), split < p.splits);
  var sum = vec4f(0.0);
  var squares = vec4f(0.0);
  for (var n = split * p.per_split + select(lid, 0u, along); n < last; n += select(THREADS, 1u, along)) {
    let begin = (n * p.channels + channel) * p.size;
    let end = begin + p.size;
    for (var i = begin / 4u + select(0u, lid, along); i * 4u < end; i += select(1u, THREADS, along)) {
      let position = vec4u(i * 4u) + vec4u(0u, 1u, 2u, 3u);
      let value = select(vec4f(0.0), x[i] - first, (position >= vec4u(begin)) & (position < vec4u(end)));
      sum += value;
      squares += value * value;
    }
  }
  let all = group_sum(lid, vec2f(dot(sum, vec4f(1.0)), dot(squares, vec4f(1.0))));
  if (lid == 0u && split < p.splits) { split_sums[number] = all; }
}

// The batch's statistics, and the running ones moved towards them in place (with the unbiased variance, as PyTorch
// does).
@compute @workgroup_size(THREADS)
fn statistics(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let channel = (group.y * groups.x + group.x) * THREADS + lid;
  if (channel >= p.channels) { return; }
  var sum = vec2f(0.0);
  for (var split = 0u; split < p.splits; split++) { sum += split_sums[split * p.channels + channel]; }
  let count = f32(p.batch * p.size);
  let at = channel * p.size;
  let shifted = sum.x / count;
  let centre = x[at / 4u][at % 4u] + shifted;
  let spread = max(sum.y / count - shifted * shifted, 0.0);
  let rstd = 1.0 / sqrt(spread + p.eps);
  saved[channel] = vec2f(centre, rstd);
  affine[channel] = vec2f(gain[channel] * rstd, bias[channel] - centre * gain[channel] * rstd);
  mean[channel] += p.momentum * (centre - mean[channel]);
  variance[channel] += p.momentum * (spread * count / max(count - 1.0, 1.0) - variance[channel]);
}

// Scale and shift from given statistics.
@compute @workgroup_size(THREADS)
fn given(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let channel = (group.y * groups.x + group.x) * THREADS + lid;
  if (channel >= p.channels) { return; }
  let rstd = 1.0 / sqrt(fixed_variance[channel] + p.eps);
  saved[channel] = vec2f(fixed_mean[channel], rstd);
  affine[channel] = vec2f(gain[channel] * rstd, bias[channel] - fixed_mean[channel] * gain[channel] * rstd);
}

// y = x scale + shift, `per_thread` vectors per invocation: of one channel, or one vector that may touch several.
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
    let factor = factors[plane % p.channels];
    for (var i = first; i < min(first + p.per_thread, vectors); i++) {
      y[plane * vectors + i] = x[plane * vectors + i] * factor.x + factor.y;
    }
    return;
  }
  if (job * 4u >= p.batch * p.channels * p.size) { return; }
  var channel = job * 4u / p.size % p.channels;
  var left = p.size - job * 4u % p.size;
  let value = x[job];
  var result = vec4f(0.0);
  for (var t = 0u; t < 4u; t++) {
    let factor = factors[channel];
    result[t] = value[t] * factor.x + factor.y;
    left -= 1u;
    if (left == 0u) {
      left = p.size;
      channel = select(channel + 1u, 0u, channel + 1u == p.channels);
    }
  }
  y[job] = result;
}

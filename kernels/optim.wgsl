// One optimiser step for one parameter tensor, in place; four elements per invocation.
// weight, m, v, grad: [size]   control: [rate, 1 - beta1^t, 1 - beta2^t, t, gradient scale]: advanced on the device,
// so that a captured step counts on. Buffers are padded to whole vectors.

struct Params {
  size: u32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, eps: f32, decay: f32, momentum: f32, nesterov: u32,
    clip: f32, parts: u32, slot: u32,
}
@group(0) @binding(0) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> grad: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> control: array<f32>;
@group(0) @binding(5) var<storage, read_write> squares: array<f32>;
@group(0) @binding(6) var<storage, read> gain: array<f32>;          // control again, for kernels that only read it
@group(0) @binding(7) var<uniform> p: Params;

// A denormal in a chain of multiply-adds costs a CPU 70 times as much.
fn flush(x: vec4f) -> vec4f {
  return select(x, vec4f(0), abs(x) < vec4f(1e-36));
}

@compute @workgroup_size(1)
fn advance() {
  control[1] = control[1] * p.beta1 + p.rest1;
  control[2] = control[2] * p.beta2 + p.rest2;
  control[3] += 1.0;
  control[4] = 1.0;
}

// Coupled decay is added to the gradient (Adam), decoupled shrinks the weight (AdamW); `nesterov` > 0 says coupled
// here.
@compute @workgroup_size(64)
fn adam(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u >= p.size || gain[4] == 0.0) { return; }
  let rate = gain[0];
  let w = weight[i];
  let coupled = p.nesterov > 0u;
  let g = grad[i] * gain[4] + select(vec4f(0), p.decay * w, coupled);
  let mean = flush(p.beta1 * m[i] + p.rest1 * g);
  let square = flush(p.beta2 * v[i] + p.rest2 * g * g);
  m[i] = mean;
  v[i] = square;
  let shrunk = select(w * (1.0 - rate * p.decay), w, coupled);
  weight[i] = shrunk - rate * (mean / gain[1]) / (sqrt(square / gain[2]) + p.eps);
}

// As PyTorch: the first step sets the velocity to the gradient.
@compute @workgroup_size(64)
fn sgd(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u >= p.size || gain[4] == 0.0) { return; }
  let w = weight[i];
  let g = grad[i] * gain[4] + p.decay * w;
  let velocity = flush(p.momentum * m[i] + g);
  m[i] = velocity;
  weight[i] = w - gain[0] * select(velocity, g + p.momentum * velocity, p.nesterov > 0u);
}

var<workgroup> partial: array<f32, 64>;

// Sum of squares of one gradient, a part per workgroup: squares[slot + group].
@compute @workgroup_size(64)
fn squared(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  var total = 0.0;
  let whole = p.size / 4u;
  for (var i = group.x * 64u + lid; i < whole; i += groups.x * 64u) {
    let g = grad[i];
    total += dot(g, g);
  }
  if (group.x == 0u && lid < p.size % 4u) {
    let g = grad[whole][lid];
    total += g * g;
  }
  partial[lid] = total;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lid < half) { partial[lid] += partial[lid + half]; }
    workgroupBarrier();
  }
  if (lid == 0u) { squares[p.slot + group.x] = partial[0]; }
}

// Gradient scale for clipping by the global norm. A gradient that is not finite gets 0: the step then leaves the
// weights alone, so that the forward pass that went wrong can be run again and looked at.
@compute @workgroup_size(1)
fn clip() {
  var total = 0.0;
  for (var i = 0u; i < p.parts; i++) { total += squares[i]; }
  let broken = (bitcast<u32>(total) & 0x7f800000u) == 0x7f800000u;
  control[4] = select(min(1.0, p.clip / (sqrt(total) + 1e-6)), 0.0, broken);
}

// Exponential moving average of the weights: v = beta1 v + rest1 weight.
@compute @workgroup_size(64)
fn average(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u < p.size) { v[i] = p.beta1 * v[i] + p.rest1 * grad[i]; }
}

// Cross-entropy of softmax(x) with labels, and its gradient. x, dx: [rows, width]   given: [rows] labels or [rows,
// width] targets
// logsum, weight, losses: [rows]: log sum e^x, the sum of the target t, the loss of the row   loss, dloss: one number
// t = (1 - smoothing) target + smoothing / width;   row loss = -sum t (x - logsum);   dx = (weight softmax(x) - t)
// dloss / rows.

// #include shared/row-sum.wgsl

struct Params { rows: u32, width: u32, smoothing: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> given: array</*type*/i32>;
@group(0) @binding(2) var<storage, read_write> logsum: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read> dloss: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;
@group(0) @binding(8) var<uniform> p: Params;

// A label outside the classes makes the loss NaN, which the caller's check of the loss then reports.
fn one_hot(label: i32, c: u32) -> f32 {
  if (label < 0 || label >= i32(p.width)) { return bitcast<f32>(0x7fc00000u | c); }
  return select(0.0, 1.0, c == u32(label));
}

fn expected(row: u32, c: u32) -> f32 {
  let given_target = /*target*/one_hot(given[row], c);
  return (1.0 - p.smoothing) * given_target + p.smoothing / f32(p.width);
}

@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  let base = row * p.width;
  let end = select(0u, p.width, row < p.rows);
  var high = -3.0e38;
  for (var c = lid % THREADS; c < end; c += THREADS) { high = max(high, x[base + c]); }
  high = row_max(lid, high);
  var sum = 0.0;
  for (var c = lid % THREADS; c < end; c += THREADS) { sum += exp(x[base + c] - high); }
  let all = high + log(row_sum(lid, sum));
  var cost = 0.0;
  var heavy = 0.0;
  for (var c = lid % THREADS; c < end; c += THREADS) {
    let t = expected(row, c);
    heavy += t;
    // a class at -infinity costs nothing where it is not expected
    cost += select(t * (all - x[base + c]), 0.0, t == 0.0);
  }
  let row_loss = row_sum(lid, cost);
  let row_weight = row_sum(lid, heavy);
  if (row < p.rows && lid % THREADS == 0u) {
    logsum[row] = all;
    weight[row] = row_weight;
    losses[row] = row_loss;
  }
}

@compute @workgroup_size(64)
fn average(@builtin(local_invocation_index) lid: u32) {
  var sum = 0.0;
  for (var row = lid; row < p.rows; row += THREADS) { sum += losses[row]; }
  let all = row_sum(lid, sum);
  if (lid == 0u) { loss[0] = all / f32(p.rows); }
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let row = i / p.width;
  if (row >= p.rows) { return; }
  dx[i] = (weight[row] * exp(x[i] - logsum[row]) - expected(row, i % p.width)) * dloss[0] / f32(p.rows);
}

// Backward of layernorm/forward.wgsl. x, dy, dx: [rows, width]   gain, dgain, dbias: [width]   mean, rstd: [rows]
// With n = (x - mean) rstd and g = dy gain:  dx = rstd (g - mean(g) - n mean(g n)), dgain = sum dy n, dbias = sum dy.
// A detached call holds rstd constant, which drops the last term of dx.

// #include ../shared/row-vector.wgsl
// #include ../shared/row-sum.wgsl

struct Params { rows: u32, width: u32, scale: f32, detached: u32, splits: u32 }
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> dy: array<V>;
@group(0) @binding(2) var<storage, read> gain: array<V>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<V>;
// [splits, 2, width]: sums over parts of the rows for dgain and dbias
@group(0) @binding(6) var<storage, read_write> sums: array<V>;
@group(0) @binding(7) var<storage, read_write> dgain: array<V>;
@group(0) @binding(8) var<storage, read_write> dbias: array<V>;
@group(0) @binding(9) var<uniform> p: Params;

@compute @workgroup_size(64)
fn input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  let base = row * p.width;
  let live = row < p.rows;
  let end = select(0u, p.width, live);
  let centre = mean[select(0u, row, live)];
  let factor = rstd[select(0u, row, live)];

  var sum = V(0);
  var along = V(0);
  for (var i = lid % THREADS; i < end; i += THREADS) {
    let g = dy[base + i] * gain[i];
    sum += g;
    along += g * (x[base + i] - V(centre));
  }
  let level = row_sum(lid, total(sum)) * p.scale;
  let slope = select(row_sum(lid, total(along)) * factor * factor * p.scale, 0.0, p.detached != 0u);

  for (var i = lid % THREADS; i < end; i += THREADS) {
    dx[base + i] = factor * (dy[base + i] * gain[i] - V(level) - (x[base + i] - V(centre)) * slope);
  }
}

// One invocation per column and split of rows; `combine` adds the splits. Many short sums are also more exact than one
// long one.
@compute @workgroup_size(64)
fn columns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let item = (group.y * groups.x + group.x) * 64u + lid;
  let split = item / p.width;
  let column = item % p.width;
  if (split >= p.splits) { return; }
  let each = (p.rows + p.splits - 1u) / p.splits;
  var gains = V(0);
  var biases = V(0);
  for (var row = split * each; row < min(p.rows, (split + 1u) * each); row++) {
    let d = dy[row * p.width + column];
    gains += d * ((x[row * p.width + column] - V(mean[row])) * rstd[row]);
    biases += d;
  }
  sums[split * 2u * p.width + column] = gains;
  sums[(split * 2u + 1u) * p.width + column] = biases;
}

@compute @workgroup_size(64)
fn combine(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let column = (group.y * groups.x + group.x) * 64u + lid;
  if (column >= p.width) { return; }
  var gains = V(0);
  var biases = V(0);
  for (var split = 0u; split < p.splits; split++) {
    gains += sums[split * 2u * p.width + column];
    biases += sums[(split * 2u + 1u) * p.width + column];
  }
  dgain[column] = gains;
  dbias[column] = biases;
}

// Layer norm. x, y: [rows, width]   gain, bias: [width]   mean, rstd: [rows], kept for the backward pass.
// THREADS invocations share a row. Two passes for the statistics: the squares are taken about the mean, which loses no
// digits.

// #include ../shared/row-vector.wgsl
// #include ../shared/row-sum.wgsl

struct Params { rows: u32, width: u32, scale: f32, eps: f32 }       // scale: 1 / (scalars in a row)
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> gain: array<V>;
@group(0) @binding(2) var<storage, read> bias: array<V>;
@group(0) @binding(3) var<storage, read_write> y: array<V>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;
override PAIRS: u32 = 0;                  // 1, with THREADS 1: two entries a turn

// A whole row, two entries a turn, which the embedded device may do at once.
fn in_pairs(row: u32) {
  let base = row * p.width;
  let last = p.width - 1u;
  let odd = p.width % 2u == 1u;
  var sum = V(0);
  var rest = V(0);
  for (var i = 0u; i < p.width / 2u; i++) {
    sum += x[base + 2u * i];
    rest += x[base + 2u * i + 1u];
  }
  if (odd) { sum += x[base + last]; }
  let centre = total(sum + rest) * p.scale;

  var squares = V(0);
  var others = V(0);
  for (var i = 0u; i < p.width / 2u; i++) {
    let d = x[base + 2u * i] - V(centre);
    let e = x[base + 2u * i + 1u] - V(centre);
    squares += d * d;
    others += e * e;
  }
  if (odd) {
    let d = x[base + last] - V(centre);
    squares += d * d;
  }
  let factor = inverseSqrt(total(squares + others) * p.scale + p.eps);

  for (var i = 0u; i < p.width / 2u; i++) {
    let d = (x[base + 2u * i] - V(centre)) * factor * gain[2u * i] + bias[2u * i];
    let e = (x[base + 2u * i + 1u] - V(centre)) * factor * gain[2u * i + 1u] + bias[2u * i + 1u];
    y[base + 2u * i] = d;
    y[base + 2u * i + 1u] = e;
  }
  if (odd) { y[base + last] = (x[base + last] - V(centre)) * factor * gain[last] + bias[last]; }
  mean[row] = centre;
  rstd[row] = factor;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  if (PAIRS == 1u) {
    if (row < p.rows) { in_pairs(row); }
    return;
  }
  let base = row * p.width;
  let end = select(0u, p.width, row < p.rows);        // threads past the last row still meet the others at the barriers

  var sum = V(0);
  for (var i = lid % THREADS; i < end; i += THREADS) { sum += x[base + i]; }
  let centre = row_sum(lid, total(sum)) * p.scale;

  var squares = V(0);
  for (var i = lid % THREADS; i < end; i += THREADS) {
    let d = x[base + i] - V(centre);
    squares += d * d;
  }
  let factor = inverseSqrt(row_sum(lid, total(squares)) * p.scale + p.eps);

  for (var i = lid % THREADS; i < end; i += THREADS) {
    y[base + i] = (x[base + i] - V(centre)) * factor * gain[i] + bias[i];
  }
  if (row < p.rows && lid % THREADS == 0u) {
    mean[row] = centre;
    rstd[row] = factor;
  }
}

// Layer norm. x, y: [rows, width]   gain, bias: [width]   mean, rstd: [rows], kept for the backward pass.
// LANES invocations share a row. Two passes for the statistics: the squares are taken about the mean, which loses no digits.

alias V = /*V*/f32;                       // vec4f where the width divides by 4; `width` counts V

struct Params { rows: u32, width: u32, scale: f32, eps: f32 }       // scale: 1 / (scalars in a row)
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> gain: array<V>;
@group(0) @binding(2) var<storage, read> bias: array<V>;
@group(0) @binding(3) var<storage, read_write> y: array<V>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;
override LANES: u32 = 8;
var<workgroup> partial: array<f32, 64>;

fn total(v: V) -> f32 { return /*total*/v; }

fn row_sum(lid: u32, value: f32) -> f32 {
  if (LANES == 1u) { return value; }
  partial[lid] = value;
  workgroupBarrier();
  var result = 0.0;
  for (var i = 0u; i < LANES; i++) { result += partial[lid - lid % LANES + i]; }
  workgroupBarrier();                     // all have read it before the next call overwrites it
  return result;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + lid / LANES;
  let base = row * p.width;
  let end = select(0u, p.width, row < p.rows);        // lanes past the last row still meet the others at the barriers

  var sum = V(0);
  for (var i = lid % LANES; i < end; i += LANES) { sum += x[base + i]; }
  let centre = row_sum(lid, total(sum)) * p.scale;

  var squares = V(0);
  for (var i = lid % LANES; i < end; i += LANES) {
    let d = x[base + i] - V(centre);
    squares += d * d;
  }
  let factor = inverseSqrt(row_sum(lid, total(squares)) * p.scale + p.eps);

  for (var i = lid % LANES; i < end; i += LANES) { y[base + i] = (x[base + i] - V(centre)) * factor * gain[i] + bias[i]; }
  if (row < p.rows && lid % LANES == 0u) {
    mean[row] = centre;
    rstd[row] = factor;
  }
}

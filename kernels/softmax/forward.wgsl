// Softmax and its logarithm along one axis. x, y: [outer, width, inner]; a row is one (outer, inner), its entries
// `inner` apart. THREADS invocations share a row: one where there are rows enough, more where they are few or memory
// likes neighbours.

// #include ../shared/row-vector.wgsl
// #include ../shared/row-sum.wgsl

struct Params { rows: u32, width: u32, inner: u32, log: u32 }
@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read_write> y: array<V>;
@group(0) @binding(2) var<uniform> p: Params;
// 1: y keeps exp(x - high) until the sum is known. On a CPU that is sooner read than computed again. 2, with THREADS
// and inner 1: the same, two entries a turn.
override KEEP: u32 = 0;

// A whole row, two entries a turn, which the embedded device may do at once.
fn in_pairs(base: u32, width: u32) {
  let last = base + width - 1u;
  var highs = V(-3.0e38);
  var more = V(-3.0e38);
  for (var i = 0u; i < width / 2u; i++) {
    highs = max(highs, x[base + 2u * i]);
    more = max(more, x[base + 2u * i + 1u]);
  }
  let odd = width % 2u == 1u;
  if (odd) { highs = max(highs, x[last]); }
  let high = largest(max(highs, more));
  let top = V(high);

  var sum = V(0);
  var rest = V(0);
  for (var i = 0u; i < width / 2u; i++) {
    let d = exp(x[base + 2u * i] - top);
    let e = exp(x[base + 2u * i + 1u] - top);
    y[base + 2u * i] = d;
    y[base + 2u * i + 1u] = e;
    sum += d;
    rest += e;
  }
  if (odd) {
    let e = exp(x[last] - top);
    y[last] = e;
    sum += e;
  }
  let norm = total(sum + rest);
  let factor = select(1.0 / norm, 0.0, norm == 0.0);
  for (var i = 0u; i < width / 2u; i++) {
    let d = y[base + 2u * i] * factor;
    let e = y[base + 2u * i + 1u] * factor;
    y[base + 2u * i] = d;
    y[base + 2u * i + 1u] = e;
  }
  if (odd) { y[last] *= factor; }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  let base = row / p.inner * p.width * p.inner + row % p.inner;
  let first = base + lid % THREADS * p.inner;
  // threads past the last row still meet the others at the barriers
  let end = base + select(0u, p.width * p.inner, row < p.rows);
  let step = THREADS * p.inner;

  if (KEEP == 2u && p.log == 0u) {
    if (row < p.rows) { in_pairs(base, p.width); }
    return;
  }
  // The floor keeps a row of -infinity only (every key masked) at zeros instead of NaN.
  var highs = V(-3.0e38);
  for (var at = first; at < end; at += step) { highs = max(highs, x[at]); }
  let high = row_max(lid, largest(highs));
  let top = V(high);

  var sum = V(0);
  if (KEEP != 0u && p.log == 0u) {
    for (var at = first; at < end; at += step) {
      let e = exp(x[at] - top);
      y[at] = e;
      sum += e;
    }
  } else {
    for (var at = first; at < end; at += step) { sum += exp(x[at] - top); }
  }
  let norm = row_sum(lid, total(sum));

  if (p.log != 0u) {
    let shift = high + select(log(norm), 0.0, norm == 0.0);
    for (var at = first; at < end; at += step) { y[at] = x[at] - V(shift); }
  } else {
    let factor = select(1.0 / norm, 0.0, norm == 0.0);
    if (KEEP != 0u) {
      for (var at = first; at < end; at += step) { y[at] *= factor; }
    } else {
      for (var at = first; at < end; at += step) { y[at] = exp(x[at] - top) * factor; }
    }
  }
}

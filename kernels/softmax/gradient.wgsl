// Backward of softmax/forward.wgsl from its output. y, dy, dx: [outer, width, inner]; THREADS invocations share a row.
// softmax: dx = y (dy - sum dy y).  log-softmax: dx = dy - e^y sum dy.

// #include ../shared/row-vector.wgsl
// #include ../shared/row-sum.wgsl

struct Params { rows: u32, width: u32, inner: u32, log: u32 }
@group(0) @binding(0) var<storage, read> y: array<V>;
@group(0) @binding(1) var<storage, read> dy: array<V>;
@group(0) @binding(2) var<storage, read_write> dx: array<V>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  let base = row / p.inner * p.width * p.inner + row % p.inner;
  let end = select(0u, p.width, row < p.rows);

  var sum = V(0);
  if (p.log != 0u) {
    for (var i = lid % THREADS; i < end; i += THREADS) { sum += dy[base + i * p.inner]; }
  } else {
    for (var i = lid % THREADS; i < end; i += THREADS) { sum += dy[base + i * p.inner] * y[base + i * p.inner]; }
  }
  let all = row_sum(lid, total(sum));

  if (p.log != 0u) {
    for (var i = lid % THREADS; i < end; i += THREADS) {
      let at = base + i * p.inner;
      dx[at] = dy[at] - exp(y[at]) * all;
    }
  } else {
    for (var i = lid % THREADS; i < end; i += THREADS) {
      let at = base + i * p.inner;
      dx[at] = y[at] * (dy[at] - V(all));
    }
  }
}

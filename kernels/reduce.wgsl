// Sums, maxima and minima along an axis. `rows`: x [rows, width] -> out [rows, splits]. `columns`: x [outer, length,
// width] -> out [outer, splits, width]. A long axis is cut into splits of `per_split` elements, each with a result of
// its own, which a second launch reduces: many workgroups take part, and no partial sum gets long.

struct Params { outer: u32, length: u32, width: u32, splits: u32, per_split: u32, factor: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
override KIND: u32 = 0;       // 0 sum, 1 maximum, 2 minimum
override SQUARE: u32 = 0;     // 1: squares are summed
override ROOT: u32 = 0;       // 1: the result is the root
// rows: invocations that share a row; columns: vectors side by side. A power of two up to 64
override THREADS: u32 = 64;
var<workgroup> partial: array<vec4f, 64>;

fn join(a: vec4f, b: vec4f) -> vec4f {
  if (KIND == 1u) { return max(a, b); }
  if (KIND == 2u) { return min(a, b); }
  return a + b;
}

fn value(v: vec4f) -> vec4f {
  if (SQUARE == 1u) { return v * v; }
  return v;
}

fn finish(v: f32) -> f32 {
  if (ROOT == 1u) { return sqrt(v * p.factor); }
  return v * p.factor;
}

// What a maximum may start from without changing it: any element of its own.
fn start(e: u32) -> vec4f {
  if (KIND == 0u) { return vec4f(0.0); }
  return vec4f(x[e / 4u][e % 4u]);
}

@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let split = (group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS;
  let mine = lid % THREADS;
  let inside = split < p.outer * p.splits;
  var total = vec4f(0.0);
  if (inside) {
    let row = split / p.splits;
    let cut = (split - row * p.splits) * p.per_split;
    let first = row * p.width + cut;
    let end = row * p.width + min(p.width, cut + p.per_split);
    let neutral = start(first);
    total = neutral;
    for (var i = first / 4u + mine; 4u * i < end; i += THREADS) {
      // A row of odd width begins and ends inside a vector that it shares with its neighbours.
      let e = 4u * i + vec4u(0u, 1u, 2u, 3u);
      total = join(total, select(neutral, value(x[i]), (e >= vec4u(first)) & (e < vec4u(end))));
    }
  }
  partial[lid] = total;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (mine < half) { partial[lid] = join(partial[lid], partial[lid + half]); }
    workgroupBarrier();
  }
  if (inside && mine == 0u) {
    let v = partial[lid];
    out[split] = finish(join(join(v, vec4f(v.y)), join(vec4f(v.z), vec4f(v.w))).x);
  }
}

// Four neighbouring columns from element e. Past the end of a row they are a neighbour's, and dropped in the end.
fn four(e: u32) -> vec4f {
  if (p.width % 4u == 0u) { return x[e / 4u]; }
  let at = e + vec4u(0u, 1u, 2u, 3u);
  return vec4f(x[at.x / 4u][at.x % 4u], x[at.y / 4u][at.y % 4u], x[at.z / 4u][at.z % 4u], x[at.w / 4u][at.w % 4u]);
}

@compute @workgroup_size(64)
fn columns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let across = (p.width + 4u * THREADS - 1u) / (4u * THREADS);      // workgroups side by side
  let number = group.y * groups.x + group.x;
  let split = number / across;
  let column = 4u * ((number - split * across) * THREADS + lid % THREADS);
  let inside = split < p.outer * p.splits && column < p.width;
  var total = vec4f(0.0);
  if (inside) {
    let outer = split / p.splits;
    let cut = (split - outer * p.splits) * p.per_split;
    let origin = outer * p.length * p.width + column;
    let end = min(p.length, cut + p.per_split);
    if (KIND != 0u) { total = value(four(origin + cut * p.width)); }
    for (var r = cut + lid / THREADS; r < end; r += 64u / THREADS) {
      total = join(total, value(four(origin + r * p.width)));
    }
  }
  partial[lid] = total;
  workgroupBarrier();
  for (var half = 32u; half >= THREADS; half /= 2u) {
    if (lid < half) { partial[lid] = join(partial[lid], partial[lid + half]); }
    workgroupBarrier();
  }
  if (inside && lid < THREADS) {
    let v = partial[lid];
    let o = split * p.width + column;
    out[o] = finish(v.x);
    if (column + 1u < p.width) { out[o + 1u] = finish(v.y); }
    if (column + 2u < p.width) { out[o + 2u] = finish(v.z); }
    if (column + 3u < p.width) { out[o + 3u] = finish(v.w); }
  }
}

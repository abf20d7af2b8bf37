// x [outer, count, inner] added up along its middle axis at index [count]: out [outer, size, inner]. No atomics: `list`
// writes down which entries of the index belong to each row, in order, and `add` lets each element of the result walk
// its row's list, so that sums are the same in every run.

struct Params { outer: u32, size: u32, inner: u32, count: u32 }
@group(0) @binding(0) var<storage, read> index: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;     // [size + 1]
@group(0) @binding(2) var<storage, read_write> entries: array<u32>;    // [count]: row r owns starts[r] to starts[r + 1]
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read> first: array<u32>;            // starts, once written
@group(0) @binding(5) var<storage, read> members: array<u32>;          // entries, once written
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(7) var<uniform> p: Params;
override VECTORS: u32 = 0;    // 1: inner is a multiple of four
override THREADS: u32 = 1;      // invocations that share the lists of four elements: many where lists are long
var<workgroup> partial: array<vec4f, 64>;

// One invocation per row, and one more for the end: a row's list begins after all entries of lower rows.
@compute @workgroup_size(64)
fn list(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lid;
  if (row > p.size) { return; }
  let blocks = (p.count + 3u) / 4u;
  var lower = vec4u(0u);
  var equal = vec4u(0u);
  for (var i = 0u; i < blocks; i++) {
    let real = 4u * i + vec4u(0u, 1u, 2u, 3u) < vec4u(p.count);
    let v = select(vec4u(0xffffffffu), index[i], real);
    lower += select(vec4u(0u), vec4u(1u), v < vec4u(row));
    equal += select(vec4u(0u), vec4u(1u), v == vec4u(row));
  }
  var next = lower.x + lower.y + lower.z + lower.w;
  starts[row] = next;
  let end = next + equal.x + equal.y + equal.z + equal.w;
  if (row == p.size) { return; }
  for (var i = 0u; next < end; i++) {
    if (index[i / 4u][i % 4u] == row) {
      entries[next] = i;
      next++;
    }
  }
}

// Sum over the list of element e, every THREADS-th entry from `mine` on, in parts of sixteen so that no partial sum
// gets long.
fn element(e: u32, mine: u32) -> f32 {
  let row = e / p.inner;
  let outer = row / p.size;
  let r = row - outer * p.size;
  let base = outer * p.count * p.inner + e - row * p.inner;
  let begin = first[r] + mine;
  let end = first[r + 1u];
  var total = 0.0;
  var part = 0.0;
  for (var i = begin; i < end; i += THREADS) {
    let at = base + members[i] * p.inner;
    part += x[at / 4u][at % 4u];
    if ((i - begin) % (16u * THREADS) == 15u * THREADS) {
      total += part;
      part = 0.0;
    }
  }
  return total + part;
}

fn vector(e: u32, mine: u32) -> vec4f {
  let row = e / p.inner;
  let outer = row / p.size;
  let r = row - outer * p.size;
  let base = outer * p.count * p.inner + e - row * p.inner;
  let begin = first[r] + mine;
  let end = first[r + 1u];
  var total = vec4f(0.0);
  var part = vec4f(0.0);
  for (var i = begin; i < end; i += THREADS) {
    part += x[(base + members[i] * p.inner) / 4u];
    if ((i - begin) % (16u * THREADS) == 15u * THREADS) {
      total += part;
      part = vec4f(0.0);
    }
  }
  return total + part;
}

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let e = 4u * ((group.y * groups.x + group.x) * (64u / THREADS) + lid / THREADS);
  let mine = lid % THREADS;
  let end = p.outer * p.size * p.inner;
  var total = vec4f(0.0);
  if (e < end) {
    if (VECTORS == 1u) { total = vector(e, mine); }
    else {
      total = vec4f(element(e, mine), element(min(e + 1u, end - 1u), mine), element(min(e + 2u, end - 1u), mine),
        element(min(e + 3u, end - 1u), mine));
    }
  }
  if (THREADS > 1u) {
    partial[lid] = total;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
      if (mine < half) { partial[lid] += partial[lid + half]; }
      workgroupBarrier();
    }
    total = partial[lid];
  }
  if (e < end && mine == 0u) { out[e / 4u] = total; }
}

// Values moved along axes: out[c] = x[d], d_k = (c_k - before_k) / step_k where that is a whole number inside x, else
// `value`. With step 1 that is pad (before < 0: crop), with steps the way back from a strided slice. ROLL: d_k = (c_k +
// before_k) mod n_k. out: [size], contiguous, four elements per invocation; up to six axes, innermost first: n of out,
// m of x, x's stride.

struct Params {
  size: u32, value: f32,
  n0: u32, n1: u32, n2: u32, n3: u32, n4: u32, n5: u32,
  m0: u32, m1: u32, m2: u32, m3: u32, m4: u32, m5: u32,
  before0: i32, before1: i32, before2: i32, before3: i32, before4: i32, before5: i32,
  step0: u32, step1: u32, step2: u32, step3: u32, step4: u32, step5: u32,
  x1: u32, x2: u32, x3: u32, x4: u32, x5: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;
override AXES: u32 = 5;       // axes outside the innermost, at most 5
override VECTORS: u32 = 0;    // 1: the innermost axis moves by whole vectors
override ROLL: u32 = 0;

const OUTSIDE = 1u;

// Where coordinate c of one axis comes from: offset in x, and OUTSIDE if nowhere.
fn along(c: u32, n: u32, m: u32, before: i32, step: u32, stride: u32) -> vec2u {
  if (ROLL == 1u) {
    let d = c + u32(before);
    return vec2u(select(d, d - n, d >= n) * stride, 0u);
  }
  let d = u32(i32(c) - before);             // huge where negative
  var q = d;
  if (step > 1u) { q = d / step; }
  return vec2u(q * stride, select(0u, OUTSIDE, q >= m || q * step != d));
}

fn place(row: u32) -> vec2u {
  if (AXES == 0u) { return vec2u(0u); }
  if (AXES == 1u) { return along(row, p.n1, p.m1, p.before1, p.step1, p.x1); }
  var rest = row / p.n1;
  var at = along(row - rest * p.n1, p.n1, p.m1, p.before1, p.step1, p.x1);
  if (AXES == 2u) { return at + along(rest, p.n2, p.m2, p.before2, p.step2, p.x2); }
  at += along(rest % p.n2, p.n2, p.m2, p.before2, p.step2, p.x2);
  rest /= p.n2;
  at += along(rest % p.n3, p.n3, p.m3, p.before3, p.step3, p.x3);
  rest /= p.n3;
  at += along(rest % p.n4, p.n4, p.m4, p.before4, p.step4, p.x4);
  return at + along(rest / p.n4, p.n5, p.m5, p.before5, p.step5, p.x5);
}

fn element(e: u32) -> f32 {
  let row = e / p.n0;
  let at = place(row) + along(e - row * p.n0, p.n0, p.m0, p.before0, p.step0, 1u);
  if (at.y != 0u) { return p.value; }
  return x[at.x / 4u][at.x % 4u];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (4u * i >= p.size) { return; }
  if (VECTORS == 1u) {
    let row = 4u * i / p.n0;
    let at = place(row) + along(4u * i - row * p.n0, p.n0, p.m0, p.before0, p.step0, 1u);
    if (at.y != 0u) { out[i] = vec4f(p.value); }
    else { out[i] = x[at.x / 4u]; }
    return;
  }
  let last = p.size - 1u;
  out[i] = vec4f(element(4u * i), element(min(4u * i + 1u, last)), element(min(4u * i + 2u, last)),
    element(min(4u * i + 3u, last)));
}

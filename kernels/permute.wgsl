// Values moved, none computed. `strided`: out[c] = x[base + sum of c_k x_k], which is permute, slice with steps and
// split. out: [size], contiguous, four elements per invocation; up to six axes, innermost first: `inner` elements at
// stride x0, n1 at x1, ...

struct Params {
  size: u32, inner: u32, n1: u32, n2: u32, n3: u32, n4: u32,
  base: u32, x0: u32, x1: u32, x2: u32, x3: u32, x4: u32, x5: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;
override AXES: u32 = 0;       // axes outside the innermost, 0 to 5
override VECTORS: u32 = 0;    // 1: rows are whole vectors, contiguous in x

// Where the row with this number begins in x.
fn place(row: u32) -> u32 {
  if (AXES == 0u) { return p.base; }
  if (AXES == 1u) { return p.base + row * p.x1; }
  var at = p.base + (row % p.n1) * p.x1;
  var rest = row / p.n1;
  if (AXES == 2u) { return at + rest * p.x2; }
  at += (rest % p.n2) * p.x2;
  rest /= p.n2;
  if (AXES == 3u) { return at + rest * p.x3; }
  at += (rest % p.n3) * p.x3;
  rest /= p.n3;
  if (AXES == 4u) { return at + rest * p.x4; }
  return at + (rest % p.n4) * p.x4 + rest / p.n4 * p.x5;
}

fn element(e: u32) -> f32 {
  let row = e / p.inner;
  let at = place(row) + (e - row * p.inner) * p.x0;
  return x[at / 4u][at % 4u];
}

@compute @workgroup_size(64)
fn strided(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (4u * i >= p.size) { return; }
  if (VECTORS == 1u) {
    let row = 4u * i / p.inner;
    out[i] = x[(place(row) + 4u * i - row * p.inner) / 4u];
    return;
  }
  let last = p.size - 1u;
  out[i] = vec4f(element(4u * i), element(min(4u * i + 1u, last)), element(min(4u * i + 2u, last)),
    element(min(4u * i + 3u, last)));
}

// Relevance is carried as the coefficient c = R / activation. Rules rescale it at a layer's output and join two
// products at its input; see src/attribution/rules.ts. All tensors have `size` elements, four per invocation; buffers
// are padded to whole vectors.
//   z the layer's output, a = |x| |W| + |b| the same sum without signs, so (z + a) / 2 is its positive part

struct Params { size: u32, eps: f32, s: f32, t: f32 }
@group(0) @binding(0) var<storage, read> c: array<vec4f>;
@group(0) @binding(1) var<storage, read> z: array<vec4f>;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> absolute: array<vec4f>;
@group(0) @binding(5) var<uniform> p: Params;

fn index(group: vec3u, groups: vec3u, lid: u32) -> u32 {
  return (group.y * groups.x + group.x) * 64u + lid;
}

// Away from zero, whose sign counts as positive.
fn stable(x: vec4f) -> vec4f {
  return x + select(vec4f(-p.eps), vec4f(p.eps), x >= vec4f(0.0));
}

// r / q, and nothing where q is exactly zero and has no stabiliser.
fn divided(r: vec4f, q: vec4f) -> vec4f {
  let divisor = stable(q);
  return select(vec4f(0.0), r / divisor, divisor != vec4f(0.0));
}

// r / x where x is a sum whose terms have absolute values up to `terms`; nothing where x is only what rounding left of
// them.
fn over(r: vec4f, x: vec4f, terms: vec4f) -> vec4f {
  return select(vec4f(0.0), r / stable(x), abs(x) > 1e-6 * terms);
}

// c z / (q ± eps)
@compute @workgroup_size(64)
fn ratio(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u < p.size) { out[i] = divided(c[i] * z[i], q[i]); }
}

// Generalised gamma, s its strength and q the sum a: factors for the products with W (out) and with |W| (absolute).
@compute @workgroup_size(64)
fn gamma(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u >= p.size) { return; }
  let side = sign(z[i]);
  let share = divided(c[i] * z[i], z[i] + 0.5 * p.s * (z[i] + side * q[i]));
  out[i] = share * (1.0 + 0.5 * p.s);
  absolute[i] = 0.5 * p.s * side * share;
}

// Alpha-beta, s = alpha and t = beta, q the sum a: likewise.
@compute @workgroup_size(64)
fn alpha_beta(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u >= p.size) { return; }
  let r = c[i] * z[i];
  let positive = 0.5 * p.s * over(r, 0.5 * (z[i] + q[i]), q[i]);
  let negative = 0.5 * p.t * over(r, 0.5 * (z[i] - q[i]), q[i]);
  out[i] = positive - negative;
  absolute[i] = positive + negative;
}

// z-plus, q the sum a: the one factor of both products.
@compute @workgroup_size(64)
fn positive(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u < p.size) { out[i] = over(c[i] * z[i], 0.5 * (z[i] + q[i]), q[i]); }
}

// c + sign(z) q: the products with W and |W| at a layer whose input is z.
@compute @workgroup_size(64)
fn join(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u < p.size) { out[i] = c[i] + sign(z[i]) * q[i]; }
}

// c where z >= 0, else q: the products with max(W, 0) and min(W, 0).
@compute @workgroup_size(64)
fn side(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = index(group, groups, lid);
  if (i * 4u < p.size) { out[i] = select(q[i], c[i], z[i] >= vec4f(0.0)); }
}

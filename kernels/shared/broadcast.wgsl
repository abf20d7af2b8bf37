// Functions of up to three tensors that broadcast: the op table's expression in x, y, z (and a constant a) is spliced
// in as `f`. out: [size], contiguous, four elements per invocation. x, y, z are read by strides over at most six axes,
// the innermost first: `inner` elements at stride x0 (1, or 0 where the operand repeats), n1 of them at stride x1, and
// so on.

struct Params {
  size: u32, inner: u32, n1: u32, n2: u32, n3: u32, n4: u32,
  x0: u32, x1: u32, x2: u32, x3: u32, x4: u32, x5: u32,
  y0: u32, y1: u32, y2: u32, y3: u32, y4: u32, y5: u32,
  z0: u32, z1: u32, z2: u32, z3: u32, z4: u32, z5: u32,
  a: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> z: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<uniform> p: Params;
override AXES: u32 = 0;        // axes outside the innermost, 0 to 5
override ELEMENTWISE: u32 = 0;    // 1: rows are no whole vectors, so each of the four elements looks for its own offset

fn f(x: vec4f, y: vec4f, z: vec4f, a: f32) -> vec4f { return /*expression*/; }

// Offsets of x, y and z where row `row` begins.
fn offset(row: u32) -> vec3u {
  var at = vec3u(0u);
  if (AXES == 0u) { return at; }
  var rest = row;
  if (AXES > 1u) { at += (rest % p.n1) * vec3u(p.x1, p.y1, p.z1); rest /= p.n1; }
  else { return rest * vec3u(p.x1, p.y1, p.z1); }
  if (AXES > 2u) { at += (rest % p.n2) * vec3u(p.x2, p.y2, p.z2); rest /= p.n2; }
  else { return at + rest * vec3u(p.x2, p.y2, p.z2); }
  if (AXES > 3u) { at += (rest % p.n3) * vec3u(p.x3, p.y3, p.z3); rest /= p.n3; }
  else { return at + rest * vec3u(p.x3, p.y3, p.z3); }
  if (AXES > 4u) { at += (rest % p.n4) * vec3u(p.x4, p.y4, p.z4); rest /= p.n4; }
  else { return at + rest * vec3u(p.x4, p.y4, p.z4); }
  return at + rest * vec3u(p.x5, p.y5, p.z5);
}

// Offsets of the four elements that invocation i writes: columns of the result are x, y, z.
struct Offsets { x: vec4u, y: vec4u, z: vec4u }

fn offsets(i: u32) -> Offsets {
  var at: array<vec3u, 4>;
  for (var k = 0u; k < 4u; k++) {
    let e = min(4u * i + k, p.size - 1u);
    let row = e / p.inner;
    at[k] = offset(row) + (e - row * p.inner) * vec3u(p.x0, p.y0, p.z0);
  }
  return Offsets(vec4u(at[0].x, at[1].x, at[2].x, at[3].x), vec4u(at[0].y, at[1].y, at[2].y, at[3].y),
    vec4u(at[0].z, at[1].z, at[2].z, at[3].z));
}

fn x_at(e: u32) -> f32 { return x[e / 4u][e % 4u]; }
fn y_at(e: u32) -> f32 { return y[e / 4u][e % 4u]; }
fn z_at(e: u32) -> f32 { return z[e / 4u][e % 4u]; }
fn x_four(e: vec4u) -> vec4f { return vec4f(x_at(e.x), x_at(e.y), x_at(e.z), x_at(e.w)); }
fn y_four(e: vec4u) -> vec4f { return vec4f(y_at(e.x), y_at(e.y), y_at(e.z), y_at(e.w)); }
fn z_four(e: vec4u) -> vec4f { return vec4f(z_at(e.x), z_at(e.y), z_at(e.z), z_at(e.w)); }

// A vector of the row that begins at `at`: four neighbours, or one element four times.
fn x_row(at: u32, column: u32) -> vec4f {
  if (p.x0 == 1u) { return x[(at + column) / 4u]; }
  return vec4f(x_at(at));
}
fn y_row(at: u32, column: u32) -> vec4f {
  if (p.y0 == 1u) { return y[(at + column) / 4u]; }
  return vec4f(y_at(at));
}
fn z_row(at: u32, column: u32) -> vec4f {
  if (p.z0 == 1u) { return z[(at + column) / 4u]; }
  return vec4f(z_at(at));
}

@compute @workgroup_size(64)
fn unary(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u >= p.size) { return; }
  if (ELEMENTWISE == 1u) {
    let at = offsets(i);
    out[i] = f(x_four(at.x), vec4f(0.0), vec4f(0.0), p.a);
    return;
  }
  var row = 0u;
  if (AXES > 0u) { row = 4u * i / p.inner; }
  let column = 4u * i - row * p.inner;
  out[i] = f(x_row(offset(row).x, column), vec4f(0.0), vec4f(0.0), p.a);
}

@compute @workgroup_size(64)
fn binary(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u >= p.size) { return; }
  if (ELEMENTWISE == 1u) {
    let at = offsets(i);
    out[i] = f(x_four(at.x), y_four(at.y), vec4f(0.0), p.a);
    return;
  }
  var row = 0u;
  if (AXES > 0u) { row = 4u * i / p.inner; }
  let column = 4u * i - row * p.inner;
  out[i] = f(x_row(offset(row).x, column), y_row(offset(row).y, column), vec4f(0.0), p.a);
}

@compute @workgroup_size(64)
fn ternary(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i * 4u >= p.size) { return; }
  if (ELEMENTWISE == 1u) {
    let at = offsets(i);
    out[i] = f(x_four(at.x), y_four(at.y), z_four(at.z), p.a);
    return;
  }
  var row = 0u;
  if (AXES > 0u) { row = 4u * i / p.inner; }
  let column = 4u * i - row * p.inner;
  out[i] = f(x_row(offset(row).x, column), y_row(offset(row).y, column), z_row(offset(row).z, column), p.a);
}

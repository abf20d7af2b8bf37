// Linear attention: o_i = q_i S / z_i with S = sum_j k_j v_j and z_i = q_i . sum_j k_j + eps. A one is appended to
// every v, so that S has the sum of k as one more column (number E) and every step below is a plain product. T rows
// (queries or keys), A = E + 1 rounded up to pairs of vectors, so that neighbours may be made as one.
// x, dx: [B, T, H, D]   y: [B, T, H, A] appended values, or their cotangents   matrix: [B, H, D, A]   v, o, dout: [B,
// T, H, E]   z: [B, T, H]

struct Params { B: u32, T: u32, H: u32, D: u32, E: u32, A: u32, splits: u32, divide: u32, detached: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array</*D*/f32>;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> matrix: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array</*E*/f32>;
@group(0) @binding(4) var<storage, read> dout: array</*E*/f32>;
@group(0) @binding(5) var<storage, read> z: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array</*D*/f32>;
@group(0) @binding(7) var<storage, read_write> o: array</*E*/f32>;
@group(0) @binding(8) var<storage, read_write> appended: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> norm: array<f32>;
@group(0) @binding(11) var<uniform> p: Params;

// Spliced in: load_x, load_v, load_dout: four entries of a row from d on, zeros past its end; store_dx, store_o.
/*rows*/

fn number(group: vec3u, groups: vec3u, lid: u32) -> u32 { return (group.y * groups.x + group.x) * 64u + lid; }

// v with a one after its last entry, then zeros.
@compute @workgroup_size(64)
fn append(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let quads = p.A / 4u;
  let i = number(group, groups, lid);
  if (i >= p.B * p.T * p.H * quads) { return; }
  let e = i % quads * 4u;
  let one = select(vec4f(0), vec4f(1), vec4u(e) + vec4u(0u, 1u, 2u, 3u) == vec4u(p.E));
  if (e < p.E) { appended[i] = load_v(i / quads, e) + one; } else { appended[i] = one; }
}

// sums[split] = sum over its rows t of x_t y_t, 8 x 8 entries of the matrix an invocation.
@compute @workgroup_size(64)
fn outer(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let quads = p.A / 4u;
  let across = quads / 2u;
  let down = (p.D + 7u) / 8u;
  let i = number(group, groups, lid);
  let head = i / (across * down) % (p.B * p.H);
  let split = i / (across * down) / (p.B * p.H);
  if (split >= p.splits) { return; }
  let e = i % across * 2u;
  let d = i / across % down * 8u;
  let more = d + 4u < p.D;
  let each = (p.T + p.splits - 1u) / p.splits;
  // a[i]: row d + i of the matrix, entries 4e ..; b: the next four; c, s: rows d + 4 + i
  var a = mat4x4f();
  var b = mat4x4f();
  var c = mat4x4f();
  var s = mat4x4f();
  let end = min(p.T, (split + 1u) * each);
  for (var t = split * each; t < end; t++) {
    let row = (head / p.H * p.T + t) * p.H + head % p.H;
    let u = load_x(row, d);
    let w = load_x(row, select(d, d + 4u, more));
    let f = y[row * quads + e];
    let g = y[row * quads + e + 1u];
    for (var j = 0u; j < 4u; j++) {
      a[j] += u[j] * f;
      b[j] += u[j] * g;
      c[j] += w[j] * f;
      s[j] += w[j] * g;
    }
  }
  let base = (split * p.B * p.H + head) * p.D;
  for (var j = 0u; j < 4u; j++) {
    if (d + j < p.D) {
      sums[(base + d + j) * quads + e] = a[j];
      sums[(base + d + j) * quads + e + 1u] = b[j];
    }
    if (d + 4u + j < p.D) {
      sums[(base + d + 4u + j) * quads + e] = c[j];
      sums[(base + d + 4u + j) * quads + e + 1u] = s[j];
    }
  }
}

// norm = z = x . (column E of the matrix) + eps.
@compute @workgroup_size(64)
fn normalisers(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = number(group, groups, lid);
  if (row >= p.B * p.T * p.H) { return; }
  let at = (row / (p.T * p.H) * p.H + row % p.H) * p.D * (p.A / 4u) + p.E / 4u;
  var sum = vec4f(0);
  for (var d = 0u; d < p.D; d += 4u) {
    let column = min(vec4u(d) + vec4u(0u, 1u, 2u, 3u), vec4u(p.D - 1u)) * (p.A / 4u) + at;
    let k = vec4f(matrix[column.x][p.E % 4u], matrix[column.y][p.E % 4u], matrix[column.z][p.E % 4u],
      matrix[column.w][p.E % 4u]);
    sum += load_x(row, d) * k;
  }
  norm[row] = dot(sum, vec4f(1)) + p.eps;
}

// o_t = x_t matrix, over z_t if `divide`: four rows by eight entries an invocation.
@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let quads = p.A / 4u;
  let across = (p.E + 7u) / 8u;
  let down = (p.T + 3u) / 4u;
  let i = number(group, groups, lid);
  let head = i / (across * down);
  if (head >= p.B * p.H) { return; }
  let e = i % across * 2u;
  let t = i / across % down * 4u;
  var row: array<u32, 4>;
  for (var r = 0u; r < 4u; r++) { row[r] = (head / p.H * p.T + min(t + r, p.T - 1u)) * p.H + head % p.H; }
  // sum: entries 4e .. of a row; more: the next four, zeros of the matrix behind the last
  var sum = mat4x4f();
  var more = mat4x4f();
  let base = head * p.D * quads + e;
  let whole = p.D / 4u * 4u;
  for (var d = 0u; d < whole; d += 4u) {
    let at = base + d * quads;
    let m0 = matrix[at];
    let n0 = matrix[at + 1u];
    let m1 = matrix[at + quads];
    let n1 = matrix[at + quads + 1u];
    let m2 = matrix[at + 2u * quads];
    let n2 = matrix[at + 2u * quads + 1u];
    let m3 = matrix[at + 3u * quads];
    let n3 = matrix[at + 3u * quads + 1u];
    for (var r = 0u; r < 4u; r++) {
      let u = load_x(row[r], d);
      sum[r] = fma(vec4f(u.w), m3, fma(vec4f(u.z), m2, fma(vec4f(u.y), m1, fma(vec4f(u.x), m0, sum[r]))));
      more[r] = fma(vec4f(u.w), n3, fma(vec4f(u.z), n2, fma(vec4f(u.y), n1, fma(vec4f(u.x), n0, more[r]))));
    }
  }
  for (var d = whole; d < p.D; d++) {
    let m = matrix[base + d * quads];
    let n = matrix[base + d * quads + 1u];
    for (var r = 0u; r < 4u; r++) {
      let u = load_x(row[r], d).x;
      sum[r] = fma(vec4f(u), m, sum[r]);
      more[r] = fma(vec4f(u), n, more[r]);
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (t + r < p.T) {
      if (p.divide != 0u) {
        sum[r] = sum[r] / z[row[r]];
        more[r] = more[r] / z[row[r]];
      }
      store_o(row[r], 4u * e, sum[r]);
      if (4u * e + 4u < p.E) { store_o(row[r], 4u * e + 4u, more[r]); }
    }
  }
}

// dx_t = matrix y_t: four rows by four entries an invocation.
@compute @workgroup_size(64)
fn columns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let quads = p.A / 4u;
  let across = (p.D + 3u) / 4u;
  let down = (p.T + 3u) / 4u;
  let i = number(group, groups, lid);
  let head = i / (across * down);
  if (head >= p.B * p.H) { return; }
  let d = i % across * 4u;
  let t = i / across % down * 4u;
  let first = head / p.H * p.T;
  var sum = mat4x4f();
  for (var e = 0u; e < quads; e++) {
    let at = (head * p.D + d) * quads + e;
    let last = (head * p.D + p.D - 1u) * quads + e;
    let m = transpose(mat4x4f(matrix[at], matrix[min(at + quads, last)], matrix[min(at + 2u * quads, last)],
      matrix[min(at + 3u * quads, last)]));
    for (var r = 0u; r < 4u; r++) {
      let u = y[((first + min(t + r, p.T - 1u)) * p.H + head % p.H) * quads + e];
      sum[r] += u.x * m[0] + u.y * m[1] + u.z * m[2] + u.w * m[3];
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (t + r < p.T) { store_dx((first + t + r) * p.H + head % p.H, d, sum[r]); }
  }
}

// Cotangents of the appended product: dout / z, then -(dout . o) / z for z itself, which is nothing where z is held
// constant.
@compute @workgroup_size(64)
fn cotangents(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let row = number(group, groups, lid);
  if (row >= p.B * p.T * p.H) { return; }
  let quads = p.A / 4u;
  var sum = vec4f(0);
  for (var e = 0u; e < p.E; e += 4u) { sum += load_dout(row, e) * load_v(row, e); }       // v is the output here
  let dz = select(-dot(sum, vec4f(1)) / z[row], 0.0, p.detached != 0u);
  for (var e = 0u; e < quads; e++) {
    let own = select(vec4f(0), vec4f(dz), vec4u(4u * e) + vec4u(0u, 1u, 2u, 3u) == vec4u(p.E));
    if (4u * e < p.E) {
      appended[row * quads + e] = load_dout(row, 4u * e) / z[row] + own;
    } else {
      appended[row * quads + e] = own;
    }
  }
}

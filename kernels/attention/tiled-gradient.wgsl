// Backward of attention/tiled.wgsl with the same tiles: 32 own rows against 32 other rows at a time, 4 x 4 pairs an
// invocation. Probabilities are made again from the scores and their log-sum:
//   w = exp(score - logsum)   g = w (dout . v - delta)   dv = sum w dout   dq = scale sum g k   dk = scale sum g q  
//   dbias = sum g
// `queries` makes dq, `keys` dk, `values` dv, `bias` dbias: each entry has one owner, so there are no atomics.
// q, dq: [B, N, H, D]  k, dk: [B, M, H, D]  v, dv: [B, M, H, E]  dout: [B, N, H, E]  stats: [B, H, N], log-sum and
// delta = dout . out

struct Params { B: u32, N: u32, M: u32, H: u32, D: u32, E: u32, G: u32, scale: f32, splits: u32 }
@group(0) @binding(0) var<storage, read> q: array</*D*/f32>;
@group(0) @binding(1) var<storage, read> k: array</*D*/f32>;
@group(0) @binding(2) var<storage, read> v: array</*E*/f32>;
@group(0) @binding(3) var<storage, read> dout: array</*E*/f32>;
@group(0) @binding(4) var<storage, read> biases: array<f32>;
@group(0) @binding(5) var<storage, read> masks: array<f32>;
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;
@group(0) @binding(7) var<storage, read_write> dq: array</*D*/f32>;
@group(0) @binding(8) var<storage, read_write> dk: array</*D*/f32>;
@group(0) @binding(9) var<storage, read_write> dv: array</*E*/f32>;
// [splits, H, N, M]: sums over parts of the batch
@group(0) @binding(10) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(11) var<uniform> p: Params;
override D_TILES: u32 = 2;                 // D and E in tiles of 32, at most 4
override E_TILES: u32 = 2;

// Spliced in: load_q, load_k, load_v, load_dout: four entries of a row from d on, zeros past its end; store_dq,
// store_dk, store_dv.
/*rows*/
// #include rows-of.wgsl
// #include logit-bias.wgsl

var<workgroup> left: array<vec4f, 256>;    // [32 own rows, 8]: four entries each
var<workgroup> right: array<vec4f, 256>;   // [32 entries, 8]: four other rows each; later [32 other rows, 8]
var<workgroup> weights: array<vec4f, 256>; // [32 own rows, 8]: four other rows each

fn count_of(what: u32) -> u32 { return select(p.M, p.N, what == Q || what == DOUT); }

// Products of 32 own rows with 32 other rows over `width` entries: own row 4y + r, other rows 4x .. 4x + 3 in column r.
fn products(own: u32, other: u32, b: u32, h: u32, first: u32, j: u32, width: u32, lid: u32) -> mat4x4f {
  let x = lid % 8u;
  let y = lid / 8u;
  // A last block is rarely full: nothing is computed for rows past its end.
  let live = first + 4u * y < count_of(own) && j + 4u * x < count_of(other);
  var s = mat4x4f();
  for (var d = 0u; d < width; d += 32u) {
    let quads = min(8u, (width - d + 3u) / 4u);
    if (x < quads) {
      let at = d + 4u * x;
      for (var i = 0u; i < 4u; i++) { left[(y + 8u * i) * 8u + x] = rows_of(own, b, h, first + y + 8u * i, at); }
      let t = transpose(mat4x4f(rows_of(other, b, h, j + 4u * y, at), rows_of(other, b, h, j + 4u * y + 1u, at),
        rows_of(other, b, h, j + 4u * y + 2u, at), rows_of(other, b, h, j + 4u * y + 3u, at)));
      for (var i = 0u; i < 4u; i++) { right[(4u * x + i) * 8u + y] = t[i]; }
    }
    workgroupBarrier();
    for (var t = 0u; t < select(0u, quads, live); t++) {
      let r0 = right[(4u * t) * 8u + x];
      let r1 = right[(4u * t + 1u) * 8u + x];
      let r2 = right[(4u * t + 2u) * 8u + x];
      let r3 = right[(4u * t + 3u) * 8u + x];
      for (var r = 0u; r < 4u; r++) {
        let l = left[(4u * y + r) * 8u + t];
        s[r] = fma(vec4f(l.w), r3, fma(vec4f(l.z), r2, fma(vec4f(l.y), r1, fma(vec4f(l.x), r0, s[r]))));
      }
    }
    workgroupBarrier();
  }
  return s;
}

// Stages entries from d on of 32 other rows, for `weights` to mix.
fn stage(what: u32, b: u32, h: u32, j: u32, d: u32, width: u32, lid: u32) {
  let x = lid % 8u;
  if (d + 4u * x < width) {
    for (var i = 0u; i < 4u; i++) {
      right[(lid / 8u + 8u * i) * 8u + x] = rows_of(what, b, h, j + lid / 8u + 8u * i, d + 4u * x);
    }
  }
}

// Own rows 4y + r in column r: weights times what was staged, entries 4x .. 4x + 3. `own_left` own rows and `left_over`
// other rows are left from here on.
fn mixed(own_left: u32, left_over: u32, lid: u32) -> mat4x4f {
  let x = lid % 8u;
  var sum = mat4x4f();
  let quads = select(0u, min(8u, (left_over + 3u) / 4u), 4u * (lid / 8u) < own_left);
  for (var t = 0u; t < quads; t++) {
    let v0 = right[(4u * t) * 8u + x];
    let v1 = right[(4u * t + 1u) * 8u + x];
    let v2 = right[(4u * t + 2u) * 8u + x];
    let v3 = right[(4u * t + 3u) * 8u + x];
    for (var r = 0u; r < 4u; r++) {
      let w = weights[(4u * (lid / 8u) + r) * 8u + t];
      sum[r] = fma(vec4f(w.w), v3, fma(vec4f(w.z), v2, fma(vec4f(w.y), v1, fma(vec4f(w.x), v0, sum[r]))));
    }
  }
  return sum;
}

@compute @workgroup_size(64)
fn queries(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let blocks = (p.N + 31u) / 32u;
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = item % blocks * 32u;
  let x = lid % 8u;
  let y = lid / 8u;
  let mine = select(0u, 4u, first + 4u * y < p.N);
  var sums: array<mat4x4f, 4>;
  for (var j = 0u; j < p.M; j += 32u) {
    var s = products(Q, K, b, h, first, j, p.D, lid);
    var g = products(DOUT, V, b, h, first, j, p.E, lid);
    let inside = vec4u(j + 4u * x) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.M);
    for (var r = 0u; r < mine; r++) {
      let query = first + 4u * y + r;
      let stat = stats[(b * p.H + h) * p.N + min(query, p.N - 1u)];
      let key = j + 4u * x;
      let more = logit_bias(b, h, vec4u(query), vec4u(key) + vec4u(0u, 1u, 2u, 3u));
      weights[(4u * y + r) * 8u + x] = select(vec4f(0), exp(s[r] + more - vec4f(stat.x)) * (g[r] - vec4f(stat.y)),
        inside);
    }
    for (var c = 0u; c < D_TILES; c++) {
      stage(K, b, h, j, 32u * c, p.D, lid);
      workgroupBarrier();
      sums[c] = sums[c] + mixed(p.N - first, p.M - j, lid);
      workgroupBarrier();
    }
  }
  for (var c = 0u; c < D_TILES; c++) {
    for (var r = 0u; r < 4u; r++) {
      let query = first + 4u * y + r;
      let d = 32u * c + 4u * x;
      if (query < p.N && d < p.D) { store_dq((b * p.N + query) * p.H + h, d, sums[c][r] * p.scale); }
    }
  }
}

// The other four queries of an invocation in `keys` and `values`: log-sums in x, deltas in y of each column.
fn stats_of(b: u32, h: u32, query: u32) -> mat4x2f {
  let row = (b * p.H + h) * p.N;
  return mat4x2f(stats[row + min(query, p.N - 1u)], stats[row + min(query + 1u, p.N - 1u)],
    stats[row + min(query + 2u, p.N - 1u)], stats[row + min(query + 3u, p.N - 1u)]);
}

// Weights of four queries on one key from their scores.
fn weights_of(score: vec4f, stat: mat4x2f, b: u32, h: u32, query: u32, key: u32) -> vec4f {
  let more = logit_bias(b, h, vec4u(query) + vec4u(0u, 1u, 2u, 3u), vec4u(key));
  let w = exp(score + more - vec4f(stat[0].x, stat[1].x, stat[2].x, stat[3].x));
  return select(vec4f(0), w, vec4u(query) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.N));
}

@compute @workgroup_size(64)
fn values(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let blocks = (p.M + 31u) / 32u;
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = item % blocks * 32u;                      // here the own rows are keys and the others queries
  let x = lid % 8u;
  let y = lid / 8u;
  let mine = select(0u, 4u, first + 4u * y < p.M);
  var sums: array<mat4x4f, 4>;
  for (var j = 0u; j < p.N; j += 32u) {
    var s = products(K, Q, b, h, first, j, p.D, lid);
    let stat = stats_of(b, h, j + 4u * x);
    for (var r = 0u; r < mine; r++) {
      weights[(4u * y + r) * 8u + x] = weights_of(s[r], stat, b, h, j + 4u * x, first + 4u * y + r);
    }
    for (var c = 0u; c < E_TILES; c++) {
      stage(DOUT, b, h, j, 32u * c, p.E, lid);
      workgroupBarrier();
      sums[c] = sums[c] + mixed(p.M - first, p.N - j, lid);
      workgroupBarrier();
    }
  }
  for (var c = 0u; c < E_TILES; c++) {
    for (var r = 0u; r < 4u; r++) {
      let key = first + 4u * y + r;
      let e = 32u * c + 4u * x;
      if (key < p.M && e < p.E) { store_dv((b * p.M + key) * p.H + h, e, sums[c][r]); }
    }
  }
}

@compute @workgroup_size(64)
fn keys(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let blocks = (p.M + 31u) / 32u;
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = item % blocks * 32u;                      // here the own rows are keys and the others queries
  let x = lid % 8u;
  let y = lid / 8u;
  let mine = select(0u, 4u, first + 4u * y < p.M);
  var sums: array<mat4x4f, 4>;
  for (var j = 0u; j < p.N; j += 32u) {
    var s = products(K, Q, b, h, first, j, p.D, lid);
    var g = products(V, DOUT, b, h, first, j, p.E, lid);
    let stat = stats_of(b, h, j + 4u * x);
    let delta = vec4f(stat[0].y, stat[1].y, stat[2].y, stat[3].y);
    for (var r = 0u; r < mine; r++) {
      weights[(4u * y + r) * 8u + x] = weights_of(s[r], stat, b, h, j + 4u * x, first + 4u * y + r) * (g[r] - delta);
    }
    for (var c = 0u; c < D_TILES; c++) {
      stage(Q, b, h, j, 32u * c, p.D, lid);
      workgroupBarrier();
      sums[c] = sums[c] + mixed(p.M - first, p.N - j, lid);
      workgroupBarrier();
    }
  }
  for (var c = 0u; c < D_TILES; c++) {
    for (var r = 0u; r < 4u; r++) {
      let key = first + 4u * y + r;
      let d = 32u * c + 4u * x;
      if (key < p.M && d < p.D) { store_dk((b * p.M + key) * p.H + h, d, sums[c][r]); }
    }
  }
}

// One tile of the bias and one part of the batch.
@compute @workgroup_size(64)
fn bias(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let across = (p.M + 31u) / 32u;
  let down = (p.N + 31u) / 32u;
  let item = group.y * groups.x + group.x;
  let j = item % across * 32u;
  let first = item / across % down * 32u;
  let h = item / (across * down) % p.H;
  let split = item / (across * down) / p.H;
  if (split >= p.splits) { return; }
  let x = lid % 8u;
  let y = lid / 8u;
  let each = (p.B + p.splits - 1u) / p.splits;
  var sums = mat4x4f();
  for (var b = split * each; b < min(p.B, (split + 1u) * each); b++) {
    var s = products(Q, K, b, h, first, j, p.D, lid);
    var g = products(DOUT, V, b, h, first, j, p.E, lid);
    for (var r = 0u; r < select(0u, 4u, first + 4u * y < p.N && j + 4u * x < p.M); r++) {
      let query = first + 4u * y + r;
      let stat = stats[(b * p.H + h) * p.N + min(query, p.N - 1u)];
      let key = j + 4u * x;
      let more = logit_bias(b, h, vec4u(query), vec4u(key) + vec4u(0u, 1u, 2u, 3u));
      sums[r] += exp(s[r] + more - vec4f(stat.x)) * (g[r] - vec4f(stat.y));
    }
  }
  for (var r = 0u; r < 4u; r++) {
    let query = first + 4u * y + r;
    for (var i = 0u; i < 4u; i++) {
      let key = j + 4u * x + i;
      if (query < p.N && key < p.M) { dbias[((split * p.H + h) * p.N + query) * p.M + key] = sums[r][i]; }
    }
  }
}

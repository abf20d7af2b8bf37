// Backward of attention/blocked.wgsl: OWN keys of a head against OTHER queries at a time. Probabilities are made again,
// once, from the scores and their log-sum:
//   w = exp(score - logsum)   g = w (dout . v - delta)   dv = sum w dout   dk = scale sum g q   dq = scale sum g k
// A workgroup takes all keys of a head, or one of `splits` stretches of them (none empty), block by block, and adds to
// dq what each block gives: every entry has one owner, so there are no atomics. Parts of dq from several splits are
// added afterwards.
// q: [B, N, H, D]  dq: [splits, B, N, H, D]  k, dk: [B, M, H, D]  v, dv: [B, M, H, E]  dout: [B, N, H, E]
// stats: [B, H, N], log-sum and delta = dout . out

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
@group(0) @binding(10) var<uniform> p: Params;
override OWN: u32 = 32;                    // a multiple of 4 COLUMNS, at least D
override OTHER: u32 = 16;                  // the same, at least D and E
override COLUMNS: u32 = 2;                 // at most 4
override THREADS: u32 = 16;                  // OWN OTHER / (16 COLUMNS)
override DDEPTH: u32 = 16;                 // D and E, up to multiples of sixteen
override EDEPTH: u32 = 16;

// Spliced in: load_q, load_k, load_v, load_dout, load_dq: four entries of a row from d on, zeros past its end;
// store_dq, store_dk, store_dv.
/*rows*/
// #include rows-of.wgsl
// #include logit-bias.wgsl

// Keys, then values, [OWN / (4 COLUMNS)][depth][COLUMNS]: four rows each. The keys once more, [OWN][DDEPTH / 4]: four
// entries each.
var<workgroup> own: array<vec4f, OWN / 4u * (DDEPTH + EDEPTH)>;
var<workgroup> entries: array<vec4f, OWN / 4u * DDEPTH>;
// Queries, then dout, each [OTHER][depth / 4]: four entries each. w, then g, each [OTHER][OWN / 4]: four keys each.
var<workgroup> staged: array<vec4f, OTHER / 4u * (DDEPTH + EDEPTH)>;
var<workgroup> weights: array<vec4f, OWN * OTHER / 2u>;

fn width_of(what: u32) -> u32 { return select(p.E, p.D, what == Q || what == K); }

// Own rows from `first` on into `own` at `to`.
fn pack_own(what: u32, b: u32, h: u32, first: u32, to: u32, depth: u32, lid: u32) {
  for (var i = lid * 4u; i < min(OWN, p.M - first); i += 4u * THREADS) {
    let at = to + i / (4u * COLUMNS) * depth * COLUMNS + i / 4u % COLUMNS;
    let row = first + i;
    for (var d = 0u; d < width_of(what); d += 4u) {
      let x = transpose(mat4x4f(rows_of(what, b, h, row, d), rows_of(what, b, h, row + 1u, d),
        rows_of(what, b, h, row + 2u, d), rows_of(what, b, h, row + 3u, d)));
      for (var n = 0u; n < 4u; n++) { own[at + (d + n) * COLUMNS] = x[n]; }
    }
  }
}

// Keys from `first` on into `entries`, zeros for those past the end, so that they weigh nothing in dq.
fn pack_keys(b: u32, h: u32, first: u32, lid: u32) {
  for (var i = lid; i < OWN; i += THREADS) {
    for (var d = 0u; d < p.D; d += 4u) {
      entries[(i * DDEPTH + d) / 4u] = select(vec4f(0), rows_of(K, b, h, first + i, d), first + i < p.M);
    }
  }
}

// Other rows from j on into `staged` at `to`.
fn pack_other(what: u32, b: u32, h: u32, j: u32, to: u32, depth: u32, lid: u32) {
  for (var i = lid; i < min(OTHER, p.N - j); i += THREADS) {
    for (var d = 0u; d < width_of(what); d += 4u) { staged[to + (i * depth + d) / 4u] = rows_of(what, b, h, j + i, d); }
  }
}

// Products of four other rows with 4 COLUMNS own rows over four times `quads` entries: of other row r and own rows 4c
// to 4c + 3 in [r COLUMNS + c].
fn products(left: u32, right: u32, depth: u32, quads: u32) -> array<vec4f, 16> {
  var s: array<vec4f, 16>;
  for (var i = 0u; i < quads; i++) {
    for (var n = 0u; n < 4u; n++) {
      var x: array<vec4f, 4>;
      for (var c = 0u; c < COLUMNS; c++) { x[c] = own[left + (4u * i + n) * COLUMNS + c]; }
      for (var r = 0u; r < 4u; r++) {
        let y = vec4f(staged[right + r * (depth / 4u) + i][n]);
        for (var c = 0u; c < COLUMNS; c++) { s[r * COLUMNS + c] = fma(y, x[c], s[r * COLUMNS + c]); }
      }
    }
  }
  return s;
}

// Adds to 4 own rows x 4 COLUMNS entries the weighted sum of `count` other rows.
fn mixed(sums: array<vec4f, 16>, left: u32, right: u32, depth: u32, count: u32) -> array<vec4f, 16> {
  var s = sums;
  for (var i = 0u; i < count; i++) {
    var x: array<vec4f, 4>;
    for (var c = 0u; c < COLUMNS; c++) { x[c] = staged[right + i * (depth / 4u) + c]; }
    for (var r = 0u; r < 4u; r++) {
      let y = vec4f(weights[left + i * (OWN / 4u)][r]);
      for (var c = 0u; c < COLUMNS; c++) { s[r * COLUMNS + c] = fma(y, x[c], s[r * COLUMNS + c]); }
    }
  }
  return s;
}

// Into `sums`, of four queries whose g begin at `left`: 4 COLUMNS entries of the sum of g times key, over four times
// `quads` keys.
fn mixed_keys(sums: ptr<function, array<vec4f, 16>>, left: u32, right: u32, quads: u32) {
  var s: array<vec4f, 16>;
  for (var i = 0u; i < quads; i++) {
    for (var n = 0u; n < 4u; n++) {
      var x: array<vec4f, 4>;
      for (var c = 0u; c < COLUMNS; c++) { x[c] = entries[right + (4u * i + n) * (DDEPTH / 4u) + c]; }
      for (var r = 0u; r < 4u; r++) {
        let y = vec4f(weights[left + r * (OWN / 4u) + i][n]);
        for (var c = 0u; c < COLUMNS; c++) { s[r * COLUMNS + c] = fma(y, x[c], s[r * COLUMNS + c]); }
      }
    }
  }
  for (var i = 0u; i < 4u * COLUMNS; i++) { (*sums)[i] = s[i]; }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let item = group.y * groups.x + group.x;
  let b = item / p.splits / p.H;
  let h = item / p.splits % p.H;
  if (b >= p.B) { return; }
  let split = item % p.splits;
  let span = ((p.M + OWN - 1u) / OWN + p.splits - 1u) / p.splits * OWN;
  // Four queries with all vectors of keys, four keys with all pieces of their entries, and four queries with all pieces
  // of theirs.
  let other = lid % (OTHER / 4u) * 4u;
  let vectors = lid / (OTHER / 4u);
  let mine = lid % (OWN / 4u) * 4u;
  let entry = lid / (OWN / 4u) * 4u * COLUMNS;
  let piece = vectors * 4u * COLUMNS;
  for (var first = split * span; first < min(p.M, (split + 1u) * span); first += OWN) {
    pack_own(K, b, h, first, 0u, DDEPTH, lid);
    pack_own(V, b, h, first, OWN / 4u * DDEPTH, EDEPTH, lid);
    pack_keys(b, h, first, lid);
    let keys = min(OWN, p.M - first);
    var dk_sums: array<vec4f, 16>;
    var dv_sums: array<vec4f, 16>;
    var dq_sums: array<vec4f, 16>;
    for (var j = 0u; j < p.N; j += OTHER) {
      let count = min(OTHER, p.N - j);
      pack_other(Q, b, h, j, 0u, DDEPTH, lid);
      pack_other(DOUT, b, h, j, OTHER / 4u * DDEPTH, EDEPTH, lid);
      workgroupBarrier();
      if (other < count && vectors * 4u * COLUMNS < keys) {
        // The least of the two, so that the compiler sees that no index leaves its array.
        let s = products(vectors * DDEPTH * COLUMNS, other * DDEPTH / 4u, DDEPTH, (min(p.D, DDEPTH) + 3u) / 4u);
        let g = products(OWN / 4u * DDEPTH + vectors * EDEPTH * COLUMNS, (OTHER * DDEPTH + other * EDEPTH) / 4u, EDEPTH,
          (min(p.E, EDEPTH) + 3u) / 4u);
        var w: array<vec4f, 16>;
        var x: array<vec4f, 16>;
        for (var r = 0u; r < 4u; r++) {
          let stat = stats[(b * p.H + h) * p.N + min(j + other + r, p.N - 1u)];
          for (var c = 0u; c < COLUMNS; c++) {
            let more = logit_bias(b, h, vec4u(j + other + r), vec4u(first + (vectors * COLUMNS + c) * 4u)
              + vec4u(0u, 1u, 2u, 3u));
            w[r * COLUMNS + c] = exp(s[r * COLUMNS + c] + more - vec4f(stat.x));
            x[r * COLUMNS + c] = w[r * COLUMNS + c] * (g[r * COLUMNS + c] - vec4f(stat.y));
          }
        }
        for (var r = 0u; r < 4u; r++) {
          let at = (other + r) * (OWN / 4u) + vectors * COLUMNS;
          for (var c = 0u; c < COLUMNS; c++) { weights[at + c] = w[r * COLUMNS + c]; }
          for (var c = 0u; c < COLUMNS; c++) { weights[OWN * OTHER / 4u + at + c] = x[r * COLUMNS + c]; }
        }
      }
      workgroupBarrier();
      let left = mine / 4u;
      if (mine < keys && entry < p.D) { dk_sums = mixed(dk_sums, OWN * OTHER / 4u + left, entry / 4u, DDEPTH, count); }
      if (mine < keys && entry < p.E) { dv_sums = mixed(dv_sums, left, (OTHER * DDEPTH + entry) / 4u, EDEPTH, count); }
      if (other < count && piece < p.D) {
        mixed_keys(&dq_sums, (OTHER + other) * (OWN / 4u), piece / 4u, (keys + 3u) / 4u);
      }
      workgroupBarrier();
      for (var r = 0u; r < 4u; r++) {
        let row = ((split * p.B + b) * p.N + j + other + r) * p.H + h;
        for (var c = 0u; c < COLUMNS; c++) {
          if (other + r < count && piece + 4u * c < p.D) {
            var value = dq_sums[r * COLUMNS + c] * p.scale;
            if (first > split * span) { value += load_dq(row, piece + 4u * c); }
            store_dq(row, piece + 4u * c, value);
          }
        }
      }
    }
    for (var r = 0u; r < 4u; r++) {
      let row = (b * p.M + first + mine + r) * p.H + h;
      for (var c = 0u; c < COLUMNS; c++) {
        let d = entry + 4u * c;
        if (mine + r < keys && d < p.D) { store_dk(row, d, dk_sums[r * COLUMNS + c]); }
        if (mine + r < keys && d < p.E) { store_dv(row, d, dv_sums[r * COLUMNS + c]); }
      }
    }
  }
}

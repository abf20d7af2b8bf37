// Fused softmax attention for the embedded device, whose processor wants long rows in its caches rather than many small
// tiles. A workgroup takes OWN queries and walks over the keys, OTHER at a time. An invocation makes the scores of 4
// keys with 4 COLUMNS queries, then 4 queries x 4 COLUMNS entries of out. Scores lie with queries along vectors, so
// that the softmax, kept up to date as keys stream past (online softmax), needs no sums across a vector.
// q: [B, N, H, D]  k: [B, M, H, D]  v: [B, M, H, E]  biases: [H, N, M]  masks: [G, N, M]  out: [B, N, H, E]  logsum:
// [B, H, N]

struct Params { B: u32, N: u32, M: u32, H: u32, D: u32, E: u32, G: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> q: array</*D*/f32>;
@group(0) @binding(1) var<storage, read> k: array</*D*/f32>;
@group(0) @binding(2) var<storage, read> v: array</*E*/f32>;
@group(0) @binding(3) var<storage, read> biases: array<f32>;
@group(0) @binding(4) var<storage, read> masks: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array</*E*/f32>;
@group(0) @binding(6) var<storage, read_write> logsum: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;
override OWN: u32 = 32;                    // a multiple of 4 COLUMNS
override OTHER: u32 = 32;
override COLUMNS: u32 = 2;                 // at most 4
override THREADS: u32 = 32;                  // OWN OTHER / (16 COLUMNS)
override DDEPTH: u32 = 16;                 // D and E, up to multiples of sixteen
override EDEPTH: u32 = 16;
override E_TILES: u32 = 1;                  // E in tiles of OTHER, at most 4

// Spliced in: load_q, load_k, load_v: four entries of a row from d on, zeros past its end; store_out.
/*rows*/
// #include row-index.wgsl
// #include logit-bias.wgsl

// queries: [OWN / (4 COLUMNS)][DDEPTH][COLUMNS], four queries each
var<workgroup> own: array<vec4f, OWN / 4u * DDEPTH>;
// keys: [OTHER / 4][DDEPTH], four keys each; later values: [E / (4 COLUMNS)][OTHER][COLUMNS]
var<workgroup> staged: array<vec4f, OTHER / 4u * max(DDEPTH, EDEPTH)>;
var<workgroup> weights: array<vec4f, OWN * OTHER / 4u>;    // [OWN / (4 COLUMNS)][OTHER][COLUMNS], four queries each
var<workgroup> factors: array<vec4f, OWN / 4u>;            // what the sums of a query have to be multiplied by

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let items = (p.N + OWN - 1u) / OWN;
  let item = group.y * groups.x + group.x;
  let b = item / items / p.H;
  let h = item / items % p.H;
  if (b >= p.B) { return; }
  let first = item % items * OWN;
  // Four keys with all vectors of queries, then four queries with all pieces of E.
  let key = lid % (OTHER / 4u) * 4u;
  let vectors = lid / (OTHER / 4u);
  let query = lid % (OWN / 4u) * 4u;
  let entry = lid / (OWN / 4u) * 4u * COLUMNS;

  // One invocation packs a whole block, because a loop with one counter is what the compiler takes the index checks out
  // of.
  for (var i = lid * 4u; i < min(OWN, p.N - first); i += 4u * THREADS) {
    let s = query_row(b, h, first + i);
    let t = query_row(b, h, first + i + 1u);
    let u = query_row(b, h, first + i + 2u);
    let w = query_row(b, h, first + i + 3u);
    let at = i / (4u * COLUMNS) * DDEPTH * COLUMNS + i / 4u % COLUMNS;
    for (var d = 0u; d < p.D; d += 4u) {
      let x = transpose(mat4x4f(load_q(s, d), load_q(t, d), load_q(u, d), load_q(w, d)));
      for (var n = 0u; n < 4u; n++) { own[at + (d + n) * COLUMNS] = x[n] * p.scale; }
    }
  }
  var sums: array<vec4f, 64>;                           // [E_TILES][4 queries][COLUMNS]
  // of the queries 4 COLUMNS lid and after: largest score so far, sum of weights
  var high: array<vec4f, 4>;
  var total: array<vec4f, 4>;
  for (var c = 0u; c < COLUMNS; c++) { high[c] = vec4f(-1.0e30); }
  for (var j = 0u; j < p.M; j += OTHER) {
    let count = min(OTHER, p.M - j);
    for (var i = lid * 4u; i < count; i += 4u * THREADS) {
      let s = key_row(b, h, j + i);
      let t = key_row(b, h, j + i + 1u);
      let u = key_row(b, h, j + i + 2u);
      let w = key_row(b, h, j + i + 3u);
      for (var d = 0u; d < p.D; d += 4u) {
        let x = transpose(mat4x4f(load_k(s, d), load_k(t, d), load_k(u, d), load_k(w, d)));
        for (var n = 0u; n < 4u; n++) { staged[i / 4u * DDEPTH + d + n] = x[n]; }
      }
    }
    workgroupBarrier();
    if (key < count && first + vectors * 4u * COLUMNS < p.N) {
      var s: array<vec4f, 16>;                          // [4 keys][COLUMNS]
      let left = vectors * DDEPTH * COLUMNS;
      let right = key / 4u * DDEPTH;
      for (var d = 0u; d < p.D; d++) {
        var x: array<vec4f, 4>;
        for (var c = 0u; c < COLUMNS; c++) { x[c] = own[left + d * COLUMNS + c]; }
        for (var r = 0u; r < 4u; r++) {
          let y = vec4f(staged[right + d][r]);
          for (var c = 0u; c < COLUMNS; c++) { s[r * COLUMNS + c] = fma(y, x[c], s[r * COLUMNS + c]); }
        }
      }
      let at = (vectors * OTHER + key) * COLUMNS;
      for (var r = 0u; r < 4u; r++) {
        for (var c = 0u; c < COLUMNS; c++) {
          let rows = vec4u(first + (vectors * COLUMNS + c) * 4u) + vec4u(0u, 1u, 2u, 3u);
          weights[at + r * COLUMNS + c] = s[r * COLUMNS + c] + logit_bias(b, h, rows, vec4u(j + key + r));
        }
      }
    }
    workgroupBarrier();
    if (lid < OWN / (4u * COLUMNS)) {
      let at = lid * OTHER * COLUMNS;
      var most = high;
      for (var i = 0u; i < count; i++) {
        for (var c = 0u; c < COLUMNS; c++) { most[c] = max(most[c], weights[at + i * COLUMNS + c]); }
      }
      var all: array<vec4f, 4>;
      for (var i = 0u; i < count; i++) {
        var w: array<vec4f, 4>;
        for (var c = 0u; c < COLUMNS; c++) { w[c] = exp(weights[at + i * COLUMNS + c] - most[c]); }
        for (var c = 0u; c < COLUMNS; c++) {
          weights[at + i * COLUMNS + c] = w[c];
          all[c] += w[c];
        }
      }
      for (var c = 0u; c < COLUMNS; c++) {
        let shrink = exp(high[c] - most[c]);
        factors[lid * COLUMNS + c] = shrink;
        total[c] = total[c] * shrink + all[c];
      }
      high = most;
    }
    // Values of a key in a row, over the keys.
    for (var i = lid; i < count; i += THREADS) {
      let row = key_row(b, h, j + i);
      for (var e = 0u; e < p.E; e += 4u) {
        staged[(e / (4u * COLUMNS) * OTHER + i) * COLUMNS + e / 4u % COLUMNS] = load_v(row, e);
      }
    }
    workgroupBarrier();
    if (first + query < p.N) {
      let factor = factors[query / 4u];
      let left = query / (4u * COLUMNS) * OTHER * COLUMNS + query / 4u % COLUMNS;
      for (var tile = 0u; tile < E_TILES; tile++) {
        let e = tile * OTHER + entry;
        if (e < p.E) {
          let right = e * OTHER / 4u;
          for (var r = 0u; r < 4u; r++) {
            for (var c = 0u; c < COLUMNS; c++) { sums[(tile * 4u + r) * COLUMNS + c] *= factor[r]; }
          }
          for (var i = 0u; i < count; i++) {
            var x: array<vec4f, 4>;
            for (var c = 0u; c < COLUMNS; c++) { x[c] = staged[right + i * COLUMNS + c]; }
            for (var r = 0u; r < 4u; r++) {
              let y = vec4f(weights[left + i * COLUMNS][r]);
              for (var c = 0u; c < COLUMNS; c++) {
                let at = (tile * 4u + r) * COLUMNS + c;
                sums[at] = fma(y, x[c], sums[at]);
              }
            }
          }
        }
      }
    }
    workgroupBarrier();
  }
  if (lid < OWN / (4u * COLUMNS)) {
    for (var c = 0u; c < COLUMNS; c++) {
      let none = total[c] == vec4f(0);                  // every key masked: zeros
      let logs = select(high[c] + log(total[c]), vec4f(0), none);
      factors[lid * COLUMNS + c] = select(1.0 / total[c], vec4f(0), none);
      for (var r = 0u; r < 4u; r++) {
        let i = first + (lid * COLUMNS + c) * 4u + r;
        if (i < p.N) { logsum[(b * p.H + h) * p.N + i] = logs[r]; }
      }
    }
  }
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    let i = first + query + r;
    if (i < p.N) {
      for (var tile = 0u; tile < E_TILES; tile++) {
        for (var c = 0u; c < COLUMNS; c++) {
          let e = tile * OTHER + entry + 4u * c;
          if (e < p.E) {
            store_out(query_row(b, h, i), e, sums[(tile * 4u + r) * COLUMNS + c] * factors[query / 4u][r]);
          }
        }
      }
    }
  }
}

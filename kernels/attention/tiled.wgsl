// Fused softmax attention for GPUs. A workgroup takes 32 queries and walks over the keys, 32 at a time;
// invocation (x, y) of 8 x 8 holds 4 queries x 4 keys of the scores, then 4 queries x 4 entries of out for every 32
// entries of E. Rows are staged in workgroup memory, keys transposed so that all arithmetic is on vectors. No N x M
// matrix: the softmax is kept up to date as keys stream past (online softmax).
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
override E_TILES: u32 = 2;                  // E in tiles of 32, at most 4

// Spliced in: load_q, load_k, load_v: four entries of a row from d on, zeros past its end; store_out.
/*rows*/
// #include row-index.wgsl
// #include logit-bias.wgsl

var<workgroup> left: array<vec4f, 256>;    // [32 queries, 8]: four entries of d each
var<workgroup> right: array<vec4f, 256>;   // [32 entries of d, 8]: four keys each; later values, [32 keys, 8]
var<workgroup> weights: array<vec4f, 256>; // [32 queries, 8]: scores of four keys each, then their weights
var<workgroup> factors: array<f32, 32>;    // what the sums of a query have to be multiplied by

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let blocks = (p.N + 31u) / 32u;
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = item % blocks * 32u;
  let x = lid % 8u;
  let y = lid / 8u;
  let mine = first + 4u * y < p.N;                      // whether there are such queries: a last block is rarely full

  var sums: array<vec4f, 16>;                           // [4 queries, 4]: four entries of each 32 of E
  // of query lid, if that is below 32: largest score so far, sum of weights
  var high = -1.0e30;
  var total = 0.0;
  for (var j = 0u; j < p.M; j += 32u) {
    var s = mat4x4f();                                  // s[r]: query 4y + r, keys 4x .. 4x + 3
    for (var d = 0u; d < p.D; d += 32u) {
      let quads = min(8u, (p.D - d + 3u) / 4u);
      if (x < quads) {
        if (j == 0u || p.D > 32u) {
          for (var i = 0u; i < 4u; i++) {
            left[(y + 8u * i) * 8u + x] = load_q(query_row(b, h, first + y + 8u * i), d + 4u * x) * p.scale;
          }
        }
        let t = transpose(mat4x4f(load_k(key_row(b, h, j + 4u * y), d + 4u * x),
          load_k(key_row(b, h, j + 4u * y + 1u), d + 4u * x),
          load_k(key_row(b, h, j + 4u * y + 2u), d + 4u * x), load_k(key_row(b, h, j + 4u * y + 3u), d + 4u * x)));
        for (var i = 0u; i < 4u; i++) { right[(4u * x + i) * 8u + y] = t[i]; }
      }
      workgroupBarrier();
      for (var t = 0u; t < select(0u, quads, mine && j + 4u * x < p.M); t++) {
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
    let inside = vec4u(j + 4u * x) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.M);
    for (var r = 0u; r < 4u; r++) {
      let more = logit_bias(b, h, vec4u(first + 4u * y + r), vec4u(j + 4u * x) + vec4u(0u, 1u, 2u, 3u));
      weights[(4u * y + r) * 8u + x] = select(vec4f(lowest), s[r] + more, inside);
    }
    workgroupBarrier();
    if (lid < 32u) {                                    // one invocation a query: nothing is computed twice
      var most = vec4f(high);
      for (var i = 0u; i < 8u; i++) { most = max(most, weights[lid * 8u + i]); }
      let m = max(max(most.x, most.y), max(most.z, most.w));
      var all = vec4f(0);
      for (var i = 0u; i < 8u; i++) {
        let w = exp(weights[lid * 8u + i] - vec4f(m));
        weights[lid * 8u + i] = w;
        all += w;
      }
      let shrink = exp(high - m);
      factors[lid] = shrink;
      total = total * shrink + dot(all, vec4f(1));
      high = m;
    }
    workgroupBarrier();
    for (var r = 0u; r < select(0u, 4u, mine); r++) {
      for (var c = 0u; c < E_TILES; c++) { sums[r * 4u + c] *= factors[4u * y + r]; }
    }
    for (var c = 0u; c < E_TILES; c++) {
      let e = 32u * c + 4u * x;
      if (e < p.E) {
        for (var i = 0u; i < 4u; i++) { right[(y + 8u * i) * 8u + x] = load_v(key_row(b, h, j + y + 8u * i), e); }
      }
      workgroupBarrier();
      for (var t = 0u; t < select(0u, min(8u, (p.M - j + 3u) / 4u), mine); t++) {
        let v0 = right[(4u * t) * 8u + x];
        let v1 = right[(4u * t + 1u) * 8u + x];
        let v2 = right[(4u * t + 2u) * 8u + x];
        let v3 = right[(4u * t + 3u) * 8u + x];
        for (var r = 0u; r < 4u; r++) {
          let w = weights[(4u * y + r) * 8u + t];
          sums[r * 4u + c] = fma(vec4f(w.w), v3,
            fma(vec4f(w.z), v2, fma(vec4f(w.y), v1, fma(vec4f(w.x), v0, sums[r * 4u + c]))));
        }
      }
      workgroupBarrier();
    }
  }
  if (lid < 32u) {
    let none = total == 0.0;                            // every key masked: zeros
    factors[lid] = select(1.0 / total, 0.0, none);
    if (first + lid < p.N) { logsum[(b * p.H + h) * p.N + first + lid] = select(high + log(total), 0.0, none); }
  }
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    let query = first + 4u * y + r;
    if (query < p.N) {
      for (var c = 0u; c < E_TILES; c++) {
        let e = 32u * c + 4u * x;
        if (e < p.E) { store_out(query_row(b, h, query), e, sums[r * 4u + c] * factors[4u * y + r]); }
      }
    }
  }
}

// Fused softmax attention for software drivers, where a load costs as much as ten multiply-adds and code size counts. A
// workgroup is one subgroup; each of its lanes owns R queries and holds their scores against LANES x KEYS keys in
// registers. A key row is loaded by one lane and shuffled to the others. No N x M matrix: the softmax is kept up to
// date as keys stream past.
// q: [B, N, H, D]  k: [B, M, H, D]  v: [B, M, H, E]  biases: [H, N, M]  masks: [G, N, M]  out: [B, N, H, E]  logsum:
// [B, H, N]
enable subgroups;

struct Params {
  B: u32, N: u32, M: u32, H: u32, D: u32, E: u32, G: u32, scale: f32, bias: u32, mask: u32, biased_lanes: u32,
}
@group(0) @binding(0) var<storage, read> q: array</*D*/f32>;
@group(0) @binding(1) var<storage, read> k: array</*D*/f32>;
@group(0) @binding(2) var<storage, read> v: array</*E*/f32>;
@group(0) @binding(3) var<storage, read> biases: array<f32>;
@group(0) @binding(4) var<storage, read> masks: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array</*E*/f32>;
@group(0) @binding(6) var<storage, read_write> logsum: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;
override LANES: u32 = 8;                   // the subgroup size
override R: u32 = 2;
override KEYS: u32 = 4;

// Spliced in: load_q, load_k, load_v, load_out: four entries of a row from 4d on, zeros past its end; store_out.
/*rows*/
// #include row-index.wgsl
// #include pair-bias.wgsl

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (p.N + LANES * R - 1u) / (LANES * R);
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = (item % blocks) * LANES * R;              // lane l owns queries first + l + r LANES

  var s: array<f32, 64>;                                // s[(r LANES + i) KEYS + c]: query r, key c LANES + i
  // rows of q and out; past the end the last one, which is not stored
  var at: array<u32, 8>;
  var high: array<f32, 8>;                              // largest score so far, and the sum of exp(score - high)
  var total: array<f32, 8>;
  var shrink: array<f32, 8>;
  for (var r = 0u; r < R; r++) {
    at[r] = query_row(b, h, first + r * LANES + lane);
    high[r] = -1.0e30;
    total[r] = 0.0;
  }
  for (var j = 0u; j < p.M; j += LANES * KEYS) {
    for (var i = 0u; i < R * LANES; i++) { for (var c = 0u; c < KEYS; c++) { s[i * KEYS + c] = 0.0; } }
    // Query u is read by lanes that stand for keys, and only lane u keeps it. p.biased_lanes is LANES, or 0 without
    // bias and mask; a constant would unroll the loop.
    for (var u = 0u; u < p.biased_lanes; u++) {
      for (var r = 0u; r < R; r++) {
        for (var c = 0u; c < KEYS; c++) {
          let more = pair_bias(b, h, first + r * LANES + u, j + c * LANES + lane);
          for (var i = 0u; i < LANES; i++) {
            let z = (r * LANES + i) * KEYS + c;
            s[z] = select(s[z], subgroupShuffle(more, i), lane == u);
          }
        }
      }
    }
    for (var d = 0u; d < p.D; d += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = load_q(at[r], d) * p.scale; }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_k(key_row(b, h, j + c * LANES + lane), d);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { s[(r * LANES + i) * KEYS + c] += dot(x[r], y); }
        }
      }
    }
    for (var r = 0u; r < R; r++) {
      var m = high[r];
      for (var c = 0u; c < KEYS; c++) {
        for (var i = 0u; i < LANES; i++) {
          let z = (r * LANES + i) * KEYS + c;
          s[z] = select(lowest, s[z], j + c * LANES + i < p.M);
          m = max(m, s[z]);
        }
      }
      shrink[r] = exp(high[r] - m);
      high[r] = m;
      total[r] *= shrink[r];
      for (var c = 0u; c < KEYS; c++) {
        for (var i = 0u; i < LANES; i++) {
          let z = (r * LANES + i) * KEYS + c;
          s[z] = exp(s[z] - m);
          total[r] += s[z];
        }
      }
    }
    for (var e = 0u; e < p.E; e += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = select(load_out(at[r], e) * shrink[r], vec4f(0), j == 0u); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_v(key_row(b, h, j + c * LANES + lane), e);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { x[r] += s[(r * LANES + i) * KEYS + c] * y; }
        }
      }
      for (var r = 0u; r < R; r++) { if (first + r * LANES + lane < p.N) { store_out(at[r], e, x[r]); } }
    }
  }
  for (var r = 0u; r < R; r++) {
    let row = first + r * LANES + lane;
    if (row < p.N) {
      let empty = total[r] == 0.0;                      // every key masked: zeros
      for (var e = 0u; e < p.E; e += 4u) {
        store_out(at[r], e, select(load_out(at[r], e) / total[r], vec4f(0), empty));
      }
      logsum[(b * p.H + h) * p.N + row] = select(high[r] + log(total[r]), 0.0, empty);
    }
  }
}

// Backward of attention/subgroup.wgsl, in the same way: a workgroup is one subgroup, its lanes own rows, and rows of
// the other side stream past, loaded by one lane and shuffled to all. Probabilities are made again from the scores and
// their log-sum:
//   w = exp(score - logsum)   g = w (dout . v - delta)   dv = sum w dout   dq = scale sum g k   dk = scale sum g q  
//   dbias = sum g
// `queries` makes dq, `keys` dk and dv, `bias` dbias: each entry has one owner, so there are no atomics.
// q, dq: [B, N, H, D]  k, dk: [B, M, H, D]  v, dv: [B, M, H, E]  dout: [B, N, H, E]  stats: [B, H, N], log-sum and
// delta = dout . out
enable subgroups;

struct Params {
  B: u32, N: u32, M: u32, H: u32, D: u32, E: u32, G: u32, scale: f32, bias: u32, mask: u32, biased_lanes: u32,
    splits: u32,
}
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
override LANES: u32 = 8;                   // the subgroup size
override R: u32 = 2;                       // own rows of a lane
override KEYS: u32 = 2;                    // LANES x KEYS rows of the other side at a time

// Spliced in: load_q, load_k, load_v, load_dout, load_dq, load_dk, load_dv: four entries of a row from 4d on; store_dq
// ...
/*rows*/
// #include row-index.wgsl
// #include pair-bias.wgsl

alias Tile = array<f32, 64>;               // [(r LANES + i) KEYS + c]: own row r, other row c LANES + i
alias Rows = array<u32, 8>;

fn clear(s: ptr<function, Tile>) {
  for (var i = 0u; i < R * LANES; i++) { for (var c = 0u; c < KEYS; c++) { (*s)[i * KEYS + c] = 0.0; } }
}

// Turns a score into w and dout . v into g; pairs outside the matrix give zeros.
fn weigh(s: ptr<function, Tile>, g: ptr<function, Tile>, z: u32, stat: vec2f, inside: bool) {
  (*s)[z] = select(0.0, exp((*s)[z] - stat.x), inside);
  (*g)[z] = select(0.0, (*s)[z] * ((*g)[z] - stat.y), inside);
}

@compute @workgroup_size(LANES)
fn queries(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (p.N + LANES * R - 1u) / (LANES * R);
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = (item % blocks) * LANES * R;
  var at: Rows;
  var stat: array<vec2f, 8>;
  for (var r = 0u; r < R; r++) {
    at[r] = query_row(b, h, first + r * LANES + lane);
    stat[r] = stats[(b * p.H + h) * p.N + min(first + r * LANES + lane, p.N - 1u)];
  }
  var s: Tile;
  var g: Tile;
  for (var j = 0u; j < p.M; j += LANES * KEYS) {
    clear(&s);
    clear(&g);
    // as in the forward pass: lanes read keys, lane u keeps them
    for (var u = 0u; u < p.biased_lanes; u++) {
      for (var r = 0u; r < R; r++) {
        for (var c = 0u; c < KEYS; c++) {
          let x = pair_bias(b, h, first + r * LANES + u, j + c * LANES + lane);
          for (var i = 0u; i < LANES; i++) {
            let z = (r * LANES + i) * KEYS + c;
            s[z] = select(s[z], subgroupShuffle(x, i), lane == u);
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
    for (var e = 0u; e < p.E; e += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = load_dout(at[r], e); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_v(key_row(b, h, j + c * LANES + lane), e);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { g[(r * LANES + i) * KEYS + c] += dot(x[r], y); }
        }
      }
    }
    for (var r = 0u; r < R; r++) {
      for (var c = 0u; c < KEYS; c++) {
        for (var i = 0u; i < LANES; i++) {
          weigh(&s, &g, (r * LANES + i) * KEYS + c, stat[r], j + c * LANES + i < p.M);
        }
      }
    }
    for (var d = 0u; d < p.D; d += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = vec4f(0); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_k(key_row(b, h, j + c * LANES + lane), d);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { x[r] += g[(r * LANES + i) * KEYS + c] * y; }
        }
      }
      for (var r = 0u; r < R; r++) {
        if (first + r * LANES + lane < p.N) {
          store_dq(at[r], d, select(load_dq(at[r], d), vec4f(0), j == 0u) + x[r] * p.scale);
        }
      }
    }
  }
}

@compute @workgroup_size(LANES)
fn keys(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (p.M + LANES * R - 1u) / (LANES * R);
  let item = group.y * groups.x + group.x;
  let b = item / blocks / p.H;
  let h = item / blocks % p.H;
  if (b >= p.B) { return; }
  let first = (item % blocks) * LANES * R;              // here the own rows are keys and the others queries
  var at: Rows;
  for (var r = 0u; r < R; r++) { at[r] = key_row(b, h, first + r * LANES + lane); }
  var s: Tile;
  var g: Tile;
  for (var j = 0u; j < p.N; j += LANES * KEYS) {
    clear(&s);
    clear(&g);
    for (var u = 0u; u < p.biased_lanes; u++) {
      for (var r = 0u; r < R; r++) {
        for (var c = 0u; c < KEYS; c++) {
          // Lanes read neighbouring keys of query u; here the owner of a key keeps it for other row i = u.
          let x = pair_bias(b, h, j + c * LANES + u, first + r * LANES + lane);
          for (var i = 0u; i < LANES; i++) {
            let z = (r * LANES + i) * KEYS + c;
            s[z] = select(s[z], x, i == u);
          }
        }
      }
    }
    for (var d = 0u; d < p.D; d += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = load_k(at[r], d) * p.scale; }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_q(query_row(b, h, j + c * LANES + lane), d);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { s[(r * LANES + i) * KEYS + c] += dot(x[r], y); }
        }
      }
    }
    for (var e = 0u; e < p.E; e += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = load_v(at[r], e); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_dout(query_row(b, h, j + c * LANES + lane), e);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { g[(r * LANES + i) * KEYS + c] += dot(x[r], y); }
        }
      }
    }
    for (var c = 0u; c < KEYS; c++) {
      let mine = stats[(b * p.H + h) * p.N + min(j + c * LANES + lane, p.N - 1u)];
      for (var i = 0u; i < LANES; i++) {
        let stat = subgroupShuffle(mine, i);
        for (var r = 0u; r < R; r++) { weigh(&s, &g, (r * LANES + i) * KEYS + c, stat, j + c * LANES + i < p.N); }
      }
    }
    for (var d = 0u; d < p.D; d += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = vec4f(0); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_q(query_row(b, h, j + c * LANES + lane), d);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { x[r] += g[(r * LANES + i) * KEYS + c] * y; }
        }
      }
      for (var r = 0u; r < R; r++) {
        if (first + r * LANES + lane < p.M) {
          store_dk(at[r], d, select(load_dk(at[r], d), vec4f(0), j == 0u) + x[r] * p.scale);
        }
      }
    }
    for (var e = 0u; e < p.E; e += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = vec4f(0); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_dout(query_row(b, h, j + c * LANES + lane), e);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { x[r] += s[(r * LANES + i) * KEYS + c] * y; }
        }
      }
      for (var r = 0u; r < R; r++) {
        if (first + r * LANES + lane < p.M) { store_dv(at[r], e, select(load_dv(at[r], e), vec4f(0), j == 0u) + x[r]); }
      }
    }
  }
}

// One tile of the bias and one part of the batch: own rows are keys, so that the stores of a query are neighbours.
@compute @workgroup_size(LANES)
fn bias(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  let across = (p.M + LANES * R - 1u) / (LANES * R);
  let down = (p.N + LANES * KEYS - 1u) / (LANES * KEYS);
  let item = group.y * groups.x + group.x;
  let first = item % across * LANES * R;
  let j = item / across % down * LANES * KEYS;
  let h = item / (across * down) % p.H;
  let split = item / (across * down) / p.H;
  if (split >= p.splits) { return; }
  let each = (p.B + p.splits - 1u) / p.splits;
  var sum: Tile;
  clear(&sum);
  for (var b = split * each; b < min(p.B, (split + 1u) * each); b++) {
    var s: Tile;
    var g: Tile;
    clear(&g);
    clear(&s);
    for (var u = 0u; u < p.biased_lanes; u++) {
      for (var r = 0u; r < R; r++) {
        for (var c = 0u; c < KEYS; c++) {
          let x = pair_bias(b, h, j + c * LANES + u, first + r * LANES + lane);
          for (var i = 0u; i < LANES; i++) {
            let z = (r * LANES + i) * KEYS + c;
            s[z] = select(s[z], x, i == u);
          }
        }
      }
    }
    for (var d = 0u; d < p.D; d += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = load_k(key_row(b, h, first + r * LANES + lane), d) * p.scale; }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_q(query_row(b, h, j + c * LANES + lane), d);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { s[(r * LANES + i) * KEYS + c] += dot(x[r], y); }
        }
      }
    }
    for (var e = 0u; e < p.E; e += 4u) {
      var x: array<vec4f, 8>;
      for (var r = 0u; r < R; r++) { x[r] = load_v(key_row(b, h, first + r * LANES + lane), e); }
      for (var c = 0u; c < KEYS; c++) {
        let mine = load_dout(query_row(b, h, j + c * LANES + lane), e);
        for (var i = 0u; i < LANES; i++) {
          let y = subgroupShuffle(mine, i);
          for (var r = 0u; r < R; r++) { g[(r * LANES + i) * KEYS + c] += dot(x[r], y); }
        }
      }
    }
    for (var c = 0u; c < KEYS; c++) {
      let mine = stats[(b * p.H + h) * p.N + min(j + c * LANES + lane, p.N - 1u)];
      for (var i = 0u; i < LANES; i++) {
        let stat = subgroupShuffle(mine, i);
        for (var r = 0u; r < R; r++) {
          let z = (r * LANES + i) * KEYS + c;
          weigh(&s, &g, z, stat, true);
          sum[z] += g[z];
        }
      }
    }
  }
  // Rolled over queries again: a store per tile entry would be too much code.
  for (var u = 0u; u < p.biased_lanes; u++) {
    for (var r = 0u; r < R; r++) {
      for (var c = 0u; c < KEYS; c++) {
        var x = 0.0;
        for (var i = 0u; i < LANES; i++) { x = select(x, sum[(r * LANES + i) * KEYS + c], i == u); }
        let query = j + c * LANES + u;
        let key = first + r * LANES + lane;
        if (query < p.N && key < p.M) { dbias[((split * p.H + h) * p.N + query) * p.M + key] = x; }
      }
    }
  }
}

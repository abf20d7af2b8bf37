// Sparse product for tiles of any size, single entries above all. A workgroup turns STEP columns of 32 rows of x into
// vectors of rows; an invocation makes one output of these rows, adding one value times one column after the other.

// #include params.wgsl

override OUTPUTS: u32 = 64;                // of a workgroup, one to an invocation
override STEP: u32 = 64;                   // a multiple of four; 128 STEP bytes
override STRIP: u32 = 1;                   // rows of a tile that lie side by side

@group(0) @binding(1) var<storage, read> values: array<f32>;
alias Column = array<vec4f, 8>;            // 32 rows
var<workgroup> turned: array<Column, STEP>;

@compute @workgroup_size(OUTPUTS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let across = (p.N + OUTPUTS - 1u) / OUTPUTS;
  let index = group.y * groups.x + group.x;
  let m = index / across * 32u;
  if (m >= p.M) { return; }
  let n = index % across * OUTPUTS + lid;
  let row = n / HEIGHT;
  let part = n % HEIGHT / STRIP;
  var slot = 0u;
  var end = 0u;
  if (n < p.N) {
    slot = first(row);
    end = last(row);
  }
  var sums: array<vec4f, 8>;
  for (var k = 0u; k < p.K; k += STEP) {
    let past = min(k + STEP, p.K);
    for (var i = lid; i < 2u * STEP; i += OUTPUTS) {
      let step = i / 8u * 4u;
      let quad = i % 8u;
      let r = m + quad * 4u;
      if (r < p.M && k + step < p.K) {
        let left = p.K - (k + step);
        let at = r * p.K + k + step;
        let s = load_x(at, left);
        let t = load_x(at + select(0u, p.K, r + 1u < p.M), left);
        let u = load_x(at + select(0u, 2u * p.K, r + 2u < p.M), left);
        let v = load_x(at + select(0u, 3u * p.K, r + 3u < p.M), left);
        turned[step][quad] = vec4f(s.x, t.x, u.x, v.x);
        turned[step + 1u][quad] = vec4f(s.y, t.y, u.y, v.y);
        turned[step + 2u][quad] = vec4f(s.z, t.z, u.z, v.z);
        turned[step + 3u][quad] = vec4f(s.w, t.w, u.w, v.w);
      }
    }
    workgroupBarrier();
    if (n < p.N) {
      var sum: array<vec4f, 8>;
      if (k > 0u) { sum = sums; }
      for (; slot < end; slot++) {
        let left_edge = column(row, slot) * WIDTH;
        if (left_edge >= past) { break; }
        let begin = max(left_edge, k);
        let steps = min(left_edge + WIDTH, past) - begin;
        let w = ((slot * (HEIGHT / STRIP) + part) * WIDTH + begin - left_edge) * STRIP + n % STRIP;
        for (var i = 0u; i < steps; i++) {
          let value = vec4f(values[w + i * STRIP]);
          let at = begin - k + i;
          for (var q = 0u; q < 8u; q++) { sum[q] = fma(value, turned[at][q], sum[q]); }
        }
        if (left_edge + WIDTH > past) { break; }   // its other steps come with the next
      }
      if (past < p.K) {
        sums = sum;
      } else {
        for (var q = 0u; q < 8u; q++) { finish_rows(m + 4u * q, n, sum[q]); }
      }
    }
    workgroupBarrier();
  }
}

// Four rows of one output.
fn finish_rows(m: u32, n: u32, sums: vec4f) {
  var result = sums;
  if (BIAS == 1u) { result += bias[n]; }
  if (GELU == 1u) { result = gelu(result); }
  for (var i = 0u; i < 4u; i++) {
    if (m + i < p.M) {
      let at = (m + i) * p.N + n;
      var one = result[i];
      if (RESIDUAL == 1u) { one += residual[at]; }
      out[at] = one;
    }
  }
}

// Sparse product for tiles of any size, single entries above all. A workgroup turns STEP columns of 4 QUADS rows of x
// into vectors of rows; an invocation makes one output of these rows, adding one value times one column after the
// other.

// #include params.wgsl

override OUTPUTS: u32 = 64;                // of a workgroup, one to an invocation; a multiple of four
override STEP: u32 = 64;                   // a multiple of four; 16 QUADS STEP bytes
override QUADS: u32 = 8;
override STRIP: u32 = 1;                   // rows of a tile that lie side by side

@group(0) @binding(1) var<storage, read> values: array<f32>;
alias Column = array<vec4f, /*quads*/8>;   // 4 QUADS rows
var<workgroup> turned: array<Column, STEP>;
var<workgroup> made: array<Column, OUTPUTS>;   // sums between the steps of k, and on their way out

// How many slots of a row from `begin` on, at most STEP and none from `end` on, have columns before `past`. A search
// without branches, which nobody could foretell.
fn slots_before(row: u32, begin: u32, end: u32, past: u32) -> u32 {
  var low = begin;
  var left = min(end - begin, STEP);
  while (left > 0u) {
    let half = (left + 1u) / 2u;
    low += select(0u, half, column(row, low + half - 1u) < past);
    left -= half;
  }
  return low - begin;
}

@compute @workgroup_size(OUTPUTS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let across = (p.N + OUTPUTS - 1u) / OUTPUTS;
  let index = group.y * groups.x + group.x;
  let m = index / across * QUADS * 4u;
  if (m >= p.M) { return; }
  let first_output = index % across * OUTPUTS;
  let n = first_output + lid;
  let row = n / HEIGHT;
  let part = n % HEIGHT / STRIP;
  var slot = 0u;
  var end = 0u;
  if (n < p.N) {
    slot = first(row);
    end = last(row);
  }
  for (var k = 0u; k < p.K; k += STEP) {
    let past = min(k + STEP, p.K);
    for (var i = lid; i < QUADS * STEP / 4u; i += OUTPUTS) {
      let step = i / QUADS * 4u;
      let quad = i % QUADS;
      let r = m + quad * 4u;
      if (r < p.M && k + step < p.K) {
        let x = quad_x(rows_at(r), k + step);
        for (var j = 0u; j < 4u; j++) { turned[step + j][quad] = x[j]; }
      }
    }
    workgroupBarrier();
    if (n < p.N) {
      var sum: array<vec4f, /*quads*/8>;
      if (k > 0u) { for (var q = 0u; q < QUADS; q++) { sum[q] = made[lid][q]; } }
      var s = slot;                        // variables that live over a barrier are slow to count with
      let last_slot = end;
      let r = row;
      if (HEIGHT == 1u && WIDTH == 1u) {
        // Counted first, because in a loop with one counter that nothing leaves, indices are not checked turn by turn.
        var count = last_slot - s;
        if (past < p.K) { count = slots_before(r, s, last_slot, past); }
        for (var i = 0u; i < count; i++) {
          let at = column(r, s + i) - k;
          let value = vec4f(values[s + i]);
          for (var q = 0u; q < QUADS; q++) { sum[q] = fma(value, turned[at][q], sum[q]); }
        }
        s += count;
      } else {
        for (; s < last_slot; s++) {
          let left_edge = column(r, s) * WIDTH;
          if (left_edge >= past) { break; }
          let begin = max(left_edge, k);
          let steps = min(left_edge + WIDTH, past) - begin;
          let w = ((s * (HEIGHT / STRIP) + part) * WIDTH + begin - left_edge) * STRIP + n % STRIP;
          for (var i = 0u; i < steps; i++) {
            let value = vec4f(values[w + i * STRIP]);
            let at = begin - k + i;
            for (var q = 0u; q < QUADS; q++) { sum[q] = fma(value, turned[at][q], sum[q]); }
          }
          if (left_edge + WIDTH > past) { break; }   // its other steps come with the next
        }
      }
      slot = s;
      // As vectors of rows, whole: an engine that joins neighbouring vectors begins with such writes.
      for (var q = 0u; q < QUADS; q++) { made[lid][q] = sum[q]; }
    }
    workgroupBarrier();
  }
  for (var i = lid; i < QUADS * OUTPUTS / 4u; i += OUTPUTS) {
    let output = i / QUADS * 4u;
    let quad = i % QUADS;
    let r = m + quad * 4u;
    let s = made[output][quad];
    let t = made[output + 1u][quad];
    let u = made[output + 2u][quad];
    let v = made[output + 3u][quad];
    /*finish*/
  }
}

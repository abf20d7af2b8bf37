// Sparse product for tiles of any size, single entries above all. A workgroup turns STEP columns of 4 QUADS rows of x
// into vectors of rows; an invocation makes one output of these rows, adding one value times one column after the
// other.

// #include params.wgsl

override OUTPUTS: u32 = 64;                // of a workgroup, one to an invocation; a multiple of four
override STEP: u32 = 64;                   // a multiple of four; 16 QUADS STEP bytes
override QUADS: u32 = 8;
override STRIP: u32 = 1;                   // rows of a tile that lie side by side

alias Column = array<vec4f, /*quads*/8>;   // 4 QUADS rows
var<workgroup> made: array<Column, OUTPUTS>;   // sums between the steps of k, and on their way out

// The weight's values, the vectors of rows (lay), and how a row of entries goes on (add_entries): entries-counted.wgsl
// or entries-grouped.wgsl.
/*entries*/

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
        for (var j = 0u; j < 4u; j++) { lay(step + j, quad, x[j]); }
      }
    }
    workgroupBarrier();
    if (n < p.N) {
      var sum: array<vec4f, /*quads*/8>;
      if (k > 0u) { for (var q = 0u; q < QUADS; q++) { sum[q] = made[lid][q]; } }
      slot = add_entries(n, row, slot, end, k, past, &sum);
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

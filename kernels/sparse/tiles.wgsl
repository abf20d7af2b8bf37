// Sparse product by tiles whose heights are multiples of four. A workgroup lays STEP steps of k of 4 X rows of x side
// by side; an invocation makes 4 rows by one strip of 4 COLUMNS outputs, whose sums stay in registers over all kept
// tiles. Rows go round fastest, so the values of a strip stay in the first-level cache while all rows pass by.

// #include params.wgsl

override X: u32 = 8;                       // blocks of four rows of x
override Y: u32 = 8;                       // strips of a workgroup
override STEP: u32 = 64;                   // a multiple of four; 16 X STEP bytes
override COLUMNS: u32 = 4;                 // vectors of four in a strip
override PACKERS: u32 = 8;                 // at most Y: invocations that lay one block of rows

alias Strip = array<vec4f, /*columns*/4>;
@group(0) @binding(1) var<storage, read> values: array<Strip>;
var<workgroup> blocks: array<vec4f, STEP * X>;     // [blocks of four rows][steps], a vector of rows each

// One step of k: four rows of x at `at` times one strip.
fn multiply(at: u32, w: u32, sum: ptr<function, array<vec4f, 16>>) {
  for (var r = 0u; r < 4u; r++) {
    let x = vec4f(blocks[at][r]);
    for (var c = 0u; c < COLUMNS; c++) { (*sum)[r * COLUMNS + c] = fma(x, values[w][c], (*sum)[r * COLUMNS + c]); }
  }
}

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u) {
  let parts = HEIGHT / (4u * COLUMNS);
  let strips = p.tile_rows * parts;
  let across = (strips + Y - 1u) / Y;
  let index = group.y * groups.x + group.x;
  let first_row = index / across * X * 4u;
  if (first_row >= p.M) { return; }
  let m = first_row + local.x * 4u;
  let strip = index % across * Y + local.y;
  let row = strip / parts;
  let n = strip * 4u * COLUMNS;
  let works = m < p.M && strip < strips;
  var slot = 0u;
  var end = 0u;
  if (works) {
    slot = first(row);
    end = last(row);
  }
  var sums: array<vec4f, 16>;
  let depth = p.tile_columns * WIDTH;      // from K on there are zeros
  for (var k = 0u; k < depth; k += STEP) {
    if (m < p.M && local.y < PACKERS) {
      let to = local.x * STEP;
      let rows = rows_at(m);
      let steps = min(STEP, max(p.K, k) - k);
      for (var step = local.y * 4u; step < steps; step += PACKERS * 4u) {
        let x = quad_x(rows, k + step);
        for (var j = 0u; j < 4u; j++) { blocks[to + step + j] = x[j]; }
      }
      // Tiles at the edge reach further than x, whose next row must not get in: it may hold what is not finite.
      let beyond = (steps + 3u) / 4u * 4u + local.y;
      for (var step = beyond; step < min(STEP, depth - k); step += PACKERS) { blocks[to + step] = vec4f(); }
    }
    workgroupBarrier();
    if (works) {
      var sum: array<vec4f, 16>;
      if (k > 0u) { sum = sums; }
      let past = k + STEP;
      var s = slot;                          // variables that live over a barrier are slow to count with
      let last_slot = end;
      for (; s < last_slot; s++) {
        let left_edge = column(row, s) * WIDTH;
        if (left_edge >= past) { break; }
        let begin = max(left_edge, k);
        let steps = min(left_edge + WIDTH, past) - begin;
        let a = local.x * STEP + begin - k;
        let w = (s * parts + strip % parts) * WIDTH + begin - left_edge;
        for (var i = 0u; i < steps; i++) { multiply(a + i, w + i, &sum); }
        if (left_edge + WIDTH > past) { break; }   // its other steps come with the next
      }
      slot = s;
      if (past < depth) {
        sums = sum;
      } else {
        /*finish*/
      }
    }
    workgroupBarrier();
  }
}

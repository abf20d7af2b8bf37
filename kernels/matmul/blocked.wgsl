// Matrix product for the embedded device, laid out for the caches of a processor (Goto and van de Geijn 2008): a
// workgroup of X by Y invocations makes 4 X rows by 4 COLUMNS Y columns, and lays STEP steps of k of them in blocks so
// that what an invocation reads lies in a row. Each makes 4 x 4 COLUMNS outputs; rows go round fastest, so its columns
// stay in the first-level cache while all rows pass by.
// a: matrices [M, K], or [K, M] if TRANSPOSE_A   b: [K, N], or [N, K] if TRANSPOSE_B   out: [splits, batch, M, N]

// #include tile.wgsl

// Rows and columns of a tile are multiples of sixteen, as blocks of four are laid four at a time: X and Y COLUMNS are
// multiples of four.
// at least COLUMNS, so that there is an invocation for all columns
override X: u32 = 16;
override Y: u32 = 8;
override COLUMNS: u32 = 2;                                // vectors of four columns that an invocation makes: 1, 2 or 4
// a multiple of four; the blocks take 16 STEP (X + COLUMNS Y) bytes
override STEP: u32 = 32;
var<workgroup> a_blocks: array<vec4f, STEP * X>;          // [blocks of four rows][steps]
var<workgroup> b_blocks: array<vec4f, STEP * Y * COLUMNS>;    // [blocks of 4 COLUMNS columns][steps][COLUMNS]

// Four steps of k of the four rows of a matrix [M, K] from `row` on, one vector of rows per step.
fn quad_a(tile: Tile, k: u32, row: u32) -> array<vec4f, 4> {
  let left = tile.last - k;
  let s = load_a(tile.a + row * p.K + k, left);
  let t = load_a(tile.a + min(row + 1u, p.M - 1u) * p.K + k, left);
  let u = load_a(tile.a + min(row + 2u, p.M - 1u) * p.K + k, left);
  let v = load_a(tile.a + min(row + 3u, p.M - 1u) * p.K + k, left);
  return array<vec4f, 4>(vec4f(s.x, t.x, u.x, v.x), vec4f(s.y, t.y, u.y, v.y), vec4f(s.z, t.z, u.z, v.z),
    vec4f(s.w, t.w, u.w, v.w));
}

// One step of k of sixteen rows of a matrix [K, M], from `row` on. Elements past the last row repeat others; what they
// make is never stored.
fn steps_a(tile: Tile, k: u32, row: u32) -> array<vec4f, 4> {
  let at = tile.a + row + k * p.M;
  let left = p.M - row;
  let i = min(4u, left - 1u);
  let j = min(8u, left - 1u);
  let l = min(12u, left - 1u);
  return array<vec4f, 4>(load_a(at, left), load_a(at + i, left - i), load_a(at + j, left - j),
    load_a(at + l, left - l));
}

// The same of sixteen columns of a matrix [K, N].
fn steps_b(tile: Tile, k: u32, column: u32) -> array<vec4f, 4> {
  let at = tile.b + column + k * p.N;
  let left = p.N - column;
  let i = min(4u, left - 1u);
  let j = min(8u, left - 1u);
  let l = min(12u, left - 1u);
  return array<vec4f, 4>(load_b(tile.matrix, at, left), load_b(tile.matrix, at + i, left - i),
    load_b(tile.matrix, at + j, left - j), load_b(tile.matrix, at + l, left - l));
}

// One step of k: four rows of a, in a block at `a`, times 4 COLUMNS columns of b, in a block from `b` on.
fn multiply(a: u32, b: u32, sum: ptr<function, array<vec4f, 16>>) {
  var y: array<vec4f, 4>;
  for (var c = 0u; c < COLUMNS; c++) { y[c] = b_blocks[b + c]; }
  for (var r = 0u; r < 4u; r++) {
    let x = vec4f(a_blocks[a][r]);
    for (var c = 0u; c < COLUMNS; c++) { (*sum)[r * COLUMNS + c] = fma(x, y[c], (*sum)[r * COLUMNS + c]); }
  }
}

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tile = tile_at(group.y * groups.x + group.x, X * 4u, Y * COLUMNS * 4u);
  if (tile.matrix >= p.splits * p.batch) { return; }
  let m = tile.m + local.x * 4u;
  let n = tile.n + local.y * COLUMNS * 4u;
  // sums[COLUMNS r + c]: row r, columns 4 c to 4 c + 3; between the steps of k
  var sums: array<vec4f, 16>;
  for (var k = tile.first; k < tile.last; k += STEP) {
    let steps = min(STEP, tile.last - k);
    // An invocation lays whole blocks, because a loop with one counter is what the compiler takes the index checks out
    // of; four of them where they lie side by side in memory, because a step of them is a line of the cache then.
    if (TRANSPOSE_A == 1u) {
      let row = tile.m + lid * 16u;
      if (lid < (X + 3u) / 4u && row < p.M) {
        for (var step = 0u; step < steps; step++) {
          let x = steps_a(tile, k + step, row);
          for (var j = 0u; j < 4u; j++) { a_blocks[(lid * 4u + j) * STEP + step] = x[j]; }
        }
      }
    } else {
      let row = tile.m + lid * 4u;
      if (lid < X && row < p.M) {
        for (var step = 0u; step < steps; step += 4u) {
          let x = quad_a(tile, k + step, row);
          for (var j = 0u; j < 4u; j++) { a_blocks[lid * STEP + step + j] = x[j]; }
        }
      }
    }
    if (TRANSPOSE_B == 0u) {
      let column = tile.n + lid * 16u;
      if (lid < (Y * COLUMNS + 3u) / 4u && column < p.N) {
        for (var step = 0u; step < steps; step++) {
          let y = steps_b(tile, k + step, column);
          for (var j = 0u; j < 4u; j++) {
            b_blocks[((lid * 4u / COLUMNS + j / COLUMNS) * STEP + step) * COLUMNS + j % COLUMNS] = y[j];
          }
        }
      }
    } else {
      let column = tile.n + lid * 4u;
      if (lid < Y * COLUMNS && column < p.N) {
        for (var step = 0u; step < steps; step += 4u) {
          let y = quad_b(tile, k + step, column);
          for (var j = 0u; j < 4u; j++) {
            b_blocks[(lid / COLUMNS * STEP + step + j) * COLUMNS + lid % COLUMNS] = y[j];
          }
        }
      }
    }
    workgroupBarrier();
    if (m < p.M && n < p.N) {
      let a = local.x * STEP;
      let b = local.y * STEP * COLUMNS;
      var sum: array<vec4f, 16>;
      if (k > tile.first) { sum = sums; }
      // With wide blocks two steps at a time, because the engine unrolls some loops and others not; with narrow ones,
      // for engines that do not join vectors, two steps would need more registers than there are.
      let pairs = select(0u, steps / 2u, COLUMNS > 2u);
      for (var i = 0u; i < pairs; i++) {
        multiply(a + 2u * i, b + 2u * i * COLUMNS, &sum);
        multiply(a + 2u * i + 1u, b + (2u * i + 1u) * COLUMNS, &sum);
      }
      for (var step = 2u * pairs; step < steps; step++) { multiply(a + step, b + step * COLUMNS, &sum); }
      // Here and not after the last barrier, so that sums of one run of k never leave the registers and writes meet
      // computation.
      if (k + STEP < tile.last) {
        sums = sum;
      } else {
        for (var r = 0u; r < 4u; r++) {
          /*finish*/
        }
      }
    }
    workgroupBarrier();
  }
}

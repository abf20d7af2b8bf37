// Part of entries.wgsl: tiles of any size, in any places.

@group(0) @binding(1) var<storage, read> values: array<f32>;
var<workgroup> turned: array<Column, STEP>;

fn lay(step: u32, quad: u32, column: vec4f) { turned[step][quad] = column; }

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

// Adds what output n has in columns from k to `past`, from slot `begin` of its row on; the slot to go on with.
fn add_entries(n: u32, row: u32, begin: u32, end: u32, k: u32, past: u32, sum: ptr<function, Column>) -> u32 {
  var s = begin;
  if (HEIGHT == 1u && WIDTH == 1u) {
    // Counted first, because in a loop with one counter that nothing leaves, indices are not checked turn by turn.
    var count = end - begin;
    if (past < p.K) { count = slots_before(row, begin, end, past); }
    for (var i = 0u; i < count; i++) {
      let at = column(row, begin + i) - k;
      let value = vec4f(values[begin + i]);
      for (var q = 0u; q < QUADS; q++) { (*sum)[q] = fma(value, turned[at][q], (*sum)[q]); }
    }
    s += count;
  } else {
    let part = n % HEIGHT / STRIP;
    for (; s < end; s++) {
      let left_edge = column(row, s) * WIDTH;
      if (left_edge >= past) { break; }
      let begins = max(left_edge, k);
      let steps = min(left_edge + WIDTH, past) - begins;
      let w = ((s * (HEIGHT / STRIP) + part) * WIDTH + begins - left_edge) * STRIP + n % STRIP;
      for (var i = 0u; i < steps; i++) {
        let value = vec4f(values[w + i * STRIP]);
        let at = begins - k + i;
        for (var q = 0u; q < QUADS; q++) { (*sum)[q] = fma(value, turned[at][q], (*sum)[q]); }
      }
      if (left_edge + WIDTH > past) { break; }   // its other steps come with the next
    }
  }
  return s;
}

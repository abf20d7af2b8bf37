// Part of entries.wgsl: single entries, as many of every group of neighbouring columns. Their places in the groups are
// read a word at a time, and cannot lie outside. STEP and K are multiples of the columns of a word.

alias Word = array<f32, /*slots*/16>;      // the values of the entries whose places a word has
@group(0) @binding(1) var<storage, read> values: array<Word>;
alias Columns = array<Column, /*columns*/32>;
var<workgroup> turned: array<Columns, STEP / /*columns*/32>;

fn lay(step: u32, quad: u32, column: vec4f) { turned[step / /*columns*/32][step % /*columns*/32][quad] = column; }

// As in entries-counted.wgsl.
fn add_entries(n: u32, row: u32, begin: u32, end: u32, k: u32, past: u32, sum: ptr<function, Column>) -> u32 {
  let words = (past - k) / /*columns*/32;
  let first_word = begin / /*slots*/16;
  for (var w = 0u; w < words; w++) {
    let places = word(first_word + w);
    let value = &values[first_word + w];
    let columns = &turned[w];
    /*word*/
  }
  return begin + words * /*slots*/16;
}

// Part of blocked.wgsl where rows of out are whole blocks of 4 COLUMNS elements: a block is one element of
// an array, so its index is checked once, and neighbouring vectors of it are read and written together.

alias Block = array<vec4f, /*columns*/4>;
@group(0) @binding(2) var<storage, read> bias: array<Block>;
@group(0) @binding(3) var<storage, read> residual: array<Block>;
@group(0) @binding(4) var<storage, read_write> out: array<Block>;

// The sums of a block of one row, which begins at column n; matrix `which` starts at `start`. Outside M x N nothing
// happens.
fn finish_row(which: u32, start: u32, row: u32, n: u32, sums: array<vec4f, 4>) {
  if (row >= p.M || n >= p.N) { return; }
  let at = (start + row * p.N + n) / (4u * COLUMNS);
  var result = sums;
  if (BIAS == 1u) { for (var c = 0u; c < COLUMNS; c++) { result[c] += bias[n / (4u * COLUMNS)][c]; } }
  if (GELU == 1u) { for (var c = 0u; c < COLUMNS; c++) { result[c] = gelu(result[c]); } }
  if (RESIDUAL == 1u) { for (var c = 0u; c < COLUMNS; c++) { result[c] += residual[at][c]; } }
  for (var c = 0u; c < COLUMNS; c++) { out[at][c] = result[c]; }
}

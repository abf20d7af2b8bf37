// Part of the sparse products out[m, n] = sum over k of x[m, k] w[n, k], w [N, K] in tiles of HEIGHT x WIDTH: sizes,
// where the tiles stand, and what happens to sums on their way out.
// x: [M, K], or images of which rows are windows   values: [slots][HEIGHT / strip][WIDTH][strip]
// out: [M, N]   bias: [N]   residual: [M, N]

struct Params { M: u32, N: u32, K: u32, tile_rows: u32, tile_columns: u32/*sizes*/ }
@group(0) @binding(5) var<uniform> p: Params;

override HEIGHT: u32 = 16;
override WIDTH: u32 = 16;

// The pattern's: first(row), last(row), column(row, slot) and the arrays they read.
/*walk*/

// What rows of x are, in rows.wgsl or pixels.wgsl: rows_at, quad_x, and what becomes of sums.
/*memory*/

// #include ../matmul/output.wgsl

// Part of what stands behind the text of a pattern's own kernel: sizes of x W^T, w [N, K] in tiles, and the buffers.
// x: [M, K]   dy: [M, N]   values: [slots][rows of a tile / strip][columns of a tile][strip]

struct Params { M: u32, N: u32, K: u32, tile_rows: u32, tile_columns: u32, slots: u32 }
@group(0) @binding(5) var<uniform> p: Params;

/*buffers*/

// A plane, or rows of it, in workgroup memory as kernels of a depthwise convolution want it: with zeros around it,
// columns and rows sorted by their remainder modulo the stride, every row a whole number of vectors. So what
// neighbouring outputs read through a tap are neighbours, rows follow one another without a break, and one loop over
// vectors makes all rows. With a step above 1, zeros stand between the pixels: that is how the gradient to the input of
// a convolution with a stride is one without.
// tile: [PARTS_Y, PARTS_X, part_rows, wide] of vec4f, zero at first, as WGSL has it. Row r and column c of part (i, j)
// is row (first + r) STRIDE_Y + i - top, column c STRIDE_X + j - left of the plane.

// Four neighbours in a row of a part from column `c` on, of those whose columns have a pixel.
fn four(source: u32, start: i32, c: u32, first: u32, last: u32) -> vec4f {
  let s = vec4i(start + i32(c * STRIDE_X)) + vec4i(0, 1, 2, 3) * i32(STRIDE_X);
  let at = vec4u(clamp(s, vec4i(0), vec4i(i32(p.width) - 1)));
  let found = vec4f(x[source + at.x / STEP_X], x[source + at.y / STEP_X], x[source + at.z / STEP_X],
    x[source + at.w / STEP_X]);
  let column = vec4u(c) + vec4u(0u, 1u, 2u, 3u);
  let pixels = select(vec4f(0.0), found, column - first < vec4u(last - first));
  if (STEP_X == 1u) { return pixels; }
  return select(vec4f(0.0), pixels, vec4u(s) % STEP_X == vec4u(0u));
}

fn stage_row(source: u32, to: u32) {
  for (var part = 0u; part < PARTS_X; part++) {
    // Columns `first` to `last` - 1 have a pixel.
    let start = i32(part) - p.left;
    let first = u32(max(0, i32(STRIDE_X) - 1 - start)) / STRIDE_X;
    let last = min(4u * p.wide, u32(max(0, i32(p.width + STRIDE_X) - 1 - start)) / STRIDE_X);
    let row = to + part * p.part_rows * p.wide;
    var done = first / 4u;
    if (STEP_X == 1u && last >= first + 16u) {
      if (first % 4u != 0u) {
        tile[row + done] = four(source, start, 4u * done, first, last);
        done += 1u;
      }
      let pixels = source + u32(start + i32(4u * done * STRIDE_X));
      for (var q = 0u; q < last / 4u - done; q++) {
        let s = pixels + q * 4u * STRIDE_X;
        tile[row + done + q] = vec4f(x[s], x[s + STRIDE_X], x[s + 2u * STRIDE_X], x[s + 3u * STRIDE_X]);
      }
      done = last / 4u;
    }
    for (var q = done; q < (last + 3u) / 4u; q++) { tile[row + q] = four(source, start, 4u * q, first, last); }
  }
}

// The rows that outputs from row `first` on read.
fn stage(plane: u32, first: u32) {
  for (var part = 0u; part < PARTS_Y; part++) {
    for (var r = 0u; r < p.part_rows; r++) {
      let to = (part * PARTS_X * p.part_rows + r) * p.wide;
      let y = i32((first + r) * STRIDE_Y + part) - p.top;
      if (y >= 0 && y < i32(p.height)) {
        if (u32(y) % STEP_Y == 0u) { stage_row((plane * p.source_rows + u32(y) / STEP_Y) * p.source_columns, to); }
      } else if (p.chunks > 1u) {
        // other rows may have stood here
        for (var j = 0u; j < PARTS_X; j++) {
          for (var q = 0u; q < p.wide; q++) { tile[to + j * p.part_rows * p.wide + q] = vec4f(0.0); }
        }
      }
    }
  }
}

// Where in the tile row `tap` of taps begins.
fn row_of(tap: u32) -> u32 {
  let shift = tap * DILATION_Y;
  return (shift % STRIDE_Y * PARTS_X * p.part_rows + shift / STRIDE_Y) * p.wide;
}

var pieces: array<vec4f, PARTS_X * QUADS>;
for (var part = 0u; part < PARTS_X; part++) {
  for (var n = 0u; n < QUADS; n++) {
    if (n == 0u || part + STRIDE_X * (4u * n - 3u) <= (TAPS_X - 1u) * DILATION_X) {
      pieces[part * QUADS + n] = tile[at[k] + part * p.part_rows * p.wide + q + n];
    }
  }
}

// Rows of a sparse product are windows of images, and its outputs are images: a convolution whose weight [N, K] has K =
// channels x height x width of the window. Row m is pixel m % pixels of image m / pixels.
// x: [images, channels, ...], padded by conv2d/layout.wgsl or plain   out: [images, N, pixels]   bias: [N]
// taps: how far step k of a window is from its first, and a number that nothing here needs

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> taps: array<vec2u>;

fn window(row: u32) -> u32 {
  let m = min(row, p.M - 1u);
  let pixel = m % p.pixels;
  return m / p.pixels * p.batch_stride + pixel / p.width * p.row_stride + pixel % p.width;
}

// Where the windows of four rows begin; behind the last one they repeat.
fn rows_at(m: u32) -> vec4u { return vec4u(window(m), window(m + 1u), window(m + 2u), window(m + 3u)); }

fn step_of(rows: vec4u, k: u32) -> vec4f {
  if (k >= p.K) { return vec4f(); }
  let at = rows + vec4u(taps[k].x);
  return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]);
}

// Four steps of k of four rows, one vector of rows per step; from K on there are zeros.
fn quad_x(rows: vec4u, k: u32) -> array<vec4f, 4> {
  return array<vec4f, 4>(step_of(rows, k), step_of(rows, k + 1u), step_of(rows, k + 2u), step_of(rows, k + 3u));
}

// The sums of four rows, of four outputs each, and the same of four outputs, of four rows each.
fn put_rows(m: u32, n: u32, s: vec4f, t: vec4f, u: vec4f, v: vec4f) {
  put_outputs(m, n, vec4f(s.x, t.x, u.x, v.x), vec4f(s.y, t.y, u.y, v.y), vec4f(s.z, t.z, u.z, v.z),
    vec4f(s.w, t.w, u.w, v.w));
}

fn put_outputs(m: u32, n: u32, s: vec4f, t: vec4f, u: vec4f, v: vec4f) {
  put_output(m, n, s);
  put_output(m, n + 1u, t);
  put_output(m, n + 2u, u);
  put_output(m, n + 3u, v);
}

fn put_output(m: u32, n: u32, sums: vec4f) {
  if (m >= p.M || n >= p.N) { return; }
  var result = sums;
  if (BIAS == 1u) { result += bias[n]; }
  store_pixels(m, n, result);
}

/*store*/

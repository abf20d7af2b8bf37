// Convolution as a product whose operands both lie in storage in the order in which they are read: images with their
// channels side by side, weights in strips of sixteen outputs. An invocation makes four pixels by one strip, whose sums
// stay in registers. For the embedded device. Pixels go round fastest, so a strip stays in the cache while they pass
// by.
// x: [images, rows, columns, channels] (channels-last.wgsl), or where a window is one pixel the images as they are,
// channels `channel` apart   w: [groups][strips][runs][length] of 16 outputs
// bias: [groups, outputs]   y: [images, groups, outputs, height_out, width_out], pixel (i, j) at row first_y + i step_y

struct Params {
  M: u32, groups: u32, strips: u32, outputs: u32, runs: u32, length: u32, runs_x: u32, run_y: u32, run_x: u32,
  width: u32, pixels: u32, image: u32, row: u32, column: u32, start: u32, group: u32, channel: u32,
  height_out: u32, width_out: u32, first_y: u32, step_y: u32, first_x: u32, step_x: u32, has_bias: u32,
}
alias Strip = array<vec4f, 4>;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<Strip>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array</*element*/f32>;
@group(0) @binding(4) var<uniform> p: Params;
// #include finish-sums.wgsl
@group(0) @binding(6) var<storage, read> residual: array</*element*/f32>;
override X: u32 = 16;                      // quads of pixels of a workgroup
override Y: u32 = 4;                       // strips of it

// Where the window of pixel m begins; behind the last one it repeats.
fn window(m: u32) -> u32 {
  let pixel = min(m, p.M - 1u);
  let at = pixel % p.pixels;
  return p.start + pixel / p.pixels * p.image + at / p.width * p.row + at % p.width * p.column;
}

// Where output 0 of pixel m goes.
fn place_of(m: u32) -> u32 {
  let pixel = min(m, p.M - 1u);
  let at = pixel % p.pixels;
  return pixel / p.pixels * p.groups * p.outputs * p.height_out * p.width_out
    + (p.first_y + at / p.width * p.step_y) * p.width_out + p.first_x + at % p.width * p.step_x;
}

var<workgroup> made: array<array<vec4f, 16>, X * Y>;   // the sums of each invocation, on their way out

/*store*/

@compute @workgroup_size(X, Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) lid: u32) {
  let down = (p.M + 4u * X - 1u) / (4u * X);
  let across = (p.strips + Y - 1u) / Y;
  let index = group.y * groups.x + group.x;
  let g = index / (down * across);
  if (g >= p.groups) { return; }
  let m = (index % down * X + local.x) * 4u;
  let strip = index / down % across * Y + local.y;
  if (m >= p.M || strip >= p.strips) { return; }
  let own = g * p.group;
  let a = own + window(m);
  let b = own + window(m + 1u);
  let c = own + window(m + 2u);
  let d = own + window(m + 3u);
  var sum: array<vec4f, 16>;
  for (var run = 0u; run < p.runs; run++) {
    let shift = run / p.runs_x * p.run_y + run % p.runs_x * p.run_x;
    let at = ((g * p.strips + strip) * p.runs + run) * p.length;
    for (var k = 0u; k < p.length; k++) {
      let s = vec4f(x[a + shift + /*channel*/k]);
      let t = vec4f(x[b + shift + /*channel*/k]);
      let u = vec4f(x[c + shift + /*channel*/k]);
      let v = vec4f(x[d + shift + /*channel*/k]);
      // #include ../shared/strip-step.wgsl
    }
  }
  // As vectors side by side: an engine that joins neighbouring vectors begins with such writes.
  for (var q = 0u; q < 16u; q++) { made[lid][q] = sum[q]; }
  for (var q = 0u; q < 4u; q++) {
    put(m, g, strip * 16u + 4u * q, made[lid][q], made[lid][4u + q], made[lid][8u + q], made[lid][12u + q]);
  }
}

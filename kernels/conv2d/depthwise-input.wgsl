// Gradient of a depthwise convolution to its input, for strides: each input pixel collects from the outputs that read
// it.
// dy: [batch, channels, rows, columns]   w: [channels, taps_y, taps_x]   dx: [batch, channels, height, width]

struct Params {
  planes: u32, channels: u32, height: u32, width: u32, rows: u32, columns: u32, taps_y: u32, taps_x: u32,
  stride_y: u32, stride_x: u32, padding_y: u32, padding_x: u32, dilation_y: u32, dilation_x: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

// Which output reads position `at` through a tap that is `shift` further: at + padding = output stride + shift. count
// if none.
fn reader(at: u32, padding: u32, shift: u32, stride: u32, count: u32) -> u32 {
  let sum = at + padding;
  if (sum < shift || (sum - shift) % stride != 0u) { return count; }
  return min((sum - shift) / stride, count);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  let plane = number / (p.height * p.width);
  if (plane >= p.planes) { return; }
  let row = number / p.width % p.height;
  let column = number % p.width;
  let first_w = plane % p.channels * p.taps_y * p.taps_x;
  var sum = 0.0;
  for (var u = 0u; u < p.taps_y; u++) {
    let i = reader(row, p.padding_y, u * p.dilation_y, p.stride_y, p.rows);
    if (i == p.rows) { continue; }
    for (var v = 0u; v < p.taps_x; v++) {
      let j = reader(column, p.padding_x, v * p.dilation_x, p.stride_x, p.columns);
      if (j < p.columns) { sum = fma(w[first_w + u * p.taps_x + v], dy[(plane * p.rows + i) * p.columns + j], sum); }
    }
  }
  dx[number] = sum;
}

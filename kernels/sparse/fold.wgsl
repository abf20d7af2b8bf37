// Adds windows up to the images they were taken from: the gradient of a convolution's input. An invocation makes a row
// of a channel, because a run along it needs no test of its own for every tap.
// columns: [images, channels, kernel_y, kernel_x, rows, width_out]   out: [images, channels, height, width]

struct Params {
  size: u32, height: u32, width: u32, kernel_y: u32, kernel_x: u32, rows: u32, width_out: u32,
  stride_y: u32, stride_x: u32, padding_y: u32, padding_x: u32, dilation_y: u32, dilation_x: u32,
}
@group(0) @binding(0) var<storage, read> columns: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (i >= p.size) { return; }
  let y = i % p.height;
  let plane = i / p.height;
  let to = i * p.width;
  for (var x = 0u; x < p.width; x++) { out[to + x] = 0.0; }
  for (var u = 0u; u < p.kernel_y; u++) {
    let down = y + p.padding_y;
    let above = u * p.dilation_y;
    // Row r of the windows met this one with tap u if r stride = y + padding - u dilation.
    if (down < above || (down - above) % p.stride_y != 0u || (down - above) / p.stride_y >= p.rows) { continue; }
    let row = (down - above) / p.stride_y;
    for (var v = 0u; v < p.kernel_x; v++) {
      let left = v * p.dilation_x;
      // Windows `first` to `last` - 1 of the row have this tap inside the image.
      let first = select((p.padding_x - left + p.stride_x - 1u) / p.stride_x, 0u, left >= p.padding_x);
      if (p.width + p.padding_x <= left) { continue; }
      let last = min((p.width + p.padding_x - left + p.stride_x - 1u) / p.stride_x, p.width_out);
      if (first >= last) { continue; }
      let source = (((plane * p.kernel_y + u) * p.kernel_x + v) * p.rows + row) * p.width_out + first;
      let at = to + first * p.stride_x + left - p.padding_x;
      for (var j = 0u; j < last - first; j++) { out[at + j * p.stride_x] += columns[source + j]; }
    }
  }
}

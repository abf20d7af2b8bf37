// Pooling windows over images. x: [planes, height, width] -> y: [planes, rows, columns]; an invocation makes up to four
// neighbouring pixels of a row. `best` keeps where in its plane a maximum came from.

struct Params {
  planes: u32, height: u32, width: u32, rows: u32, columns: u32,
  size_y: u32, size_x: u32, stride_y: u32, stride_x: u32, padding_y: u32, padding_x: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> best: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

// Plane, row and first column of this invocation's pixels; the plane is out of range where there is nothing left to do.
fn position(group: vec3u, groups: vec3u, lid: u32) -> vec3u {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  let quads = (p.columns + 3u) / 4u;
  let image_row = job / quads;
  return vec3u(image_row / p.rows, image_row % p.rows, job % quads * 4u);
}

// Where a window begins and ends along an axis; what is outside of the image is cut off.
fn window(i: u32, stride: u32, padding: u32, size: u32, extent: u32) -> vec2u {
  let first = i * stride;
  return vec2u(max(first, padding) - padding, min(max(first + size, padding) - padding, extent));
}

fn is_nan(value: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(value) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

// The first of equal values wins, and a NaN wins over everything, as in PyTorch. Four windows at once: a column outside
// of the image stands for the nearest inside, which is in its window too and comes in the same place of the order.
@compute @workgroup_size(64)
fn maximum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let at = position(group, groups, lid);
  if (at.x >= p.planes) { return; }
  let base = at.x * p.height * p.width;
  let down = window(at.y, p.stride_y, p.padding_y, p.size_y, p.height);
  // Windows beyond the last are that one again, and are not stored.
  let first = min(vec4u(at.z) + vec4u(0u, 1u, 2u, 3u), vec4u(p.columns - 1u)) * p.stride_x;
  let padding = vec4u(p.padding_x);
  let end = vec4u(p.width - 1u);
  var found = vec4u(down.x * p.width) + min(max(first, padding) - padding, end);
  var value = vec4f(x[base + found.x], x[base + found.y], x[base + found.z], x[base + found.w]);
  let whole = first.x >= p.padding_x && first.w + p.size_x <= p.width + p.padding_x
    && first.w == first.x + 3u * p.stride_x;
  for (var row = down.x; row < down.y; row++) {
    let line = vec4u(row * p.width);
    for (var v = 0u; v < p.size_x; v++) {
      var here = line + first + vec4u(v) - padding;
      var candidate = vec4f(0.0);
      if (whole) {
        let i = base + row * p.width + first.x + v - p.padding_x;
        candidate = vec4f(x[i], x[i + p.stride_x], x[i + 2u * p.stride_x], x[i + 3u * p.stride_x]);
      } else {
        here = line + min(max(first + vec4u(v), padding) - padding, end);
        candidate = vec4f(x[base + here.x], x[base + here.y], x[base + here.z], x[base + here.w]);
      }
      let better = (candidate > value) | (is_nan(candidate) & !is_nan(value));
      value = select(value, candidate, better);
      found = select(found, here, better);
    }
  }
  let to = (at.x * p.rows + at.y) * p.columns + at.z;
  for (var t = 0u; t < 4u; t++) {
    if (at.z + t < p.columns) {
      y[to + t] = value[t];
      best[to + t] = found[t];
    }
  }
}

// The mean over size_y x size_x, whatever part of it is padding.
@compute @workgroup_size(64)
fn average(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let at = position(group, groups, lid);
  if (at.x >= p.planes) { return; }
  let down = window(at.y, p.stride_y, p.padding_y, p.size_y, p.height);
  for (var j = at.z; j < min(at.z + 4u, p.columns); j++) {
    let across = window(j, p.stride_x, p.padding_x, p.size_x, p.width);
    y[(at.x * p.rows + at.y) * p.columns + j] = total(at.x, down, across) / f32(p.size_y * p.size_x);
  }
}

// The mean of rows floor(i height / rows) up to ceil((i + 1) height / rows), and of columns likewise.
@compute @workgroup_size(64)
fn adaptive(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let at = position(group, groups, lid);
  if (at.x >= p.planes) { return; }
  let down = extent_of(at.y, p.height, p.rows);
  for (var j = at.z; j < min(at.z + 4u, p.columns); j++) {
    let across = extent_of(j, p.width, p.columns);
    y[(at.x * p.rows + at.y) * p.columns + j] = total(at.x, down, across) / f32((down.y - down.x)
      * (across.y - across.x));
  }
}

fn extent_of(i: u32, extent: u32, count: u32) -> vec2u {
  return vec2u(i * extent / count, ((i + 1u) * extent + count - 1u) / count);
}

// Row by row, so that the sum over a large plane keeps its digits.
fn total(plane: u32, down: vec2u, across: vec2u) -> f32 {
  var sum = 0.0;
  for (var row = down.x; row < down.y; row++) {
    let base = (plane * p.height + row) * p.width;
    var part = 0.0;
    for (var column = across.x; column < across.y; column++) { part += x[base + column]; }
    sum += part;
  }
  return sum;
}

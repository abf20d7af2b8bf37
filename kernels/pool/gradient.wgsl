// Gradients of pooling, gathered: each input pixel collects from the windows that contain it, so nothing needs atomics.
// dy, best: [planes, rows, columns] -> dx: [planes, height, width]; up to four neighbouring pixels per invocation.

struct Params {
  planes: u32, height: u32, width: u32, rows: u32, columns: u32,
  size_y: u32, size_x: u32, stride_y: u32, stride_x: u32, padding_y: u32, padding_x: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> best: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

fn position(group: vec3u, groups: vec3u, lid: u32) -> vec3u {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  let quads = (p.width + 3u) / 4u;
  let image_row = job / quads;
  return vec3u(image_row / p.height, image_row % p.height, job % quads * 4u);
}

// The windows along an axis that contain position `at`.
fn windows(at: u32, stride: u32, padding: u32, size: u32, count: u32) -> vec2u {
  let end = at + padding + 1u;                                   // windows that begin before this
  let begin = max(end, size) - size;                             // and not before this
  return vec2u((begin + stride - 1u) / stride, min((end + stride - 1u) / stride, count));
}

@compute @workgroup_size(64)
fn maximum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let at = position(group, groups, lid);
  if (at.x >= p.planes) { return; }
  let down = windows(at.y, p.stride_y, p.padding_y, p.size_y, p.rows);
  for (var column = at.z; column < min(at.z + 4u, p.width); column++) {
    let across = windows(column, p.stride_x, p.padding_x, p.size_x, p.columns);
    let me = at.y * p.width + column;
    var sum = 0.0;
    for (var i = down.x; i < down.y; i++) {
      for (var j = across.x; j < across.y; j++) {
        let here = (at.x * p.rows + i) * p.columns + j;
        if (best[here] == me) { sum += dy[here]; }
      }
    }
    dx[at.x * p.height * p.width + me] = sum;
  }
}

@compute @workgroup_size(64)
fn average(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let at = position(group, groups, lid);
  if (at.x >= p.planes) { return; }
  let down = windows(at.y, p.stride_y, p.padding_y, p.size_y, p.rows);
  for (var column = at.z; column < min(at.z + 4u, p.width); column++) {
    let across = windows(column, p.stride_x, p.padding_x, p.size_x, p.columns);
    var sum = 0.0;
    for (var i = down.x; i < down.y; i++) {
      for (var j = across.x; j < across.y; j++) { sum += dy[(at.x * p.rows + i) * p.columns + j]; }
    }
    dx[(at.x * p.height + at.y) * p.width + column] = sum / f32(p.size_y * p.size_x);
  }
}

// Windows i with floor(i extent / count) <= at < ceil((i + 1) extent / count).
fn window(at: u32, extent: u32, count: u32) -> vec2u {
  return vec2u(at * count / extent, ((at + 1u) * count + extent - 1u) / extent);
}

fn size_of(i: u32, extent: u32, count: u32) -> u32 {
  return ((i + 1u) * extent + count - 1u) / count - i * extent / count;
}

@compute @workgroup_size(64)
fn adaptive(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let at = position(group, groups, lid);
  if (at.x >= p.planes) { return; }
  let down = window(at.y, p.height, p.rows);
  for (var column = at.z; column < min(at.z + 4u, p.width); column++) {
    let across = window(column, p.width, p.columns);
    var sum = 0.0;
    for (var i = down.x; i < down.y; i++) {
      let high = size_of(i, p.height, p.rows);
      for (var j = across.x; j < across.y; j++) {
        sum += dy[(at.x * p.rows + i) * p.columns + j] / f32(high * size_of(j, p.width, p.columns));
      }
    }
    dx[(at.x * p.height + at.y) * p.width + column] = sum;
  }
}

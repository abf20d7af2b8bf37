// x [outer, size, inner] read along its middle axis at index [count]: out [outer, count, inner]. Bits are moved, not
// numbers. An index outside of x gives NaN, which shows, rather than somebody else's value.

struct Params { outer: u32, size: u32, inner: u32, count: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4u>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4u>;
@group(0) @binding(3) var<uniform> p: Params;
override VECTORS: u32 = 0;    // 1: inner is a multiple of four

const NAN = 0x7fc00000u;

// First element in x of the row that becomes row `row` of [outer, count]; for a bad index, past the end of every
// tensor.
fn source(row: u32) -> u32 {
  let outer = row / p.count;
  let entry = index[row - outer * p.count];
  if (entry >= p.size) { return 0xffffffffu; }
  return (outer * p.size + entry) * p.inner;
}

fn element(e: u32) -> u32 {
  let row = e / p.inner;
  let begin = source(row);
  if (begin == 0xffffffffu) { return NAN; }
  let at = begin + e - row * p.inner;
  return x[at / 4u][at % 4u];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let e = 4u * ((group.y * groups.x + group.x) * 64u + lid);
  let end = p.outer * p.count * p.inner;
  if (e >= end) { return; }
  if (VECTORS == 1u) {
    let row = e / p.inner;
    let begin = source(row);
    if (begin == 0xffffffffu) { out[e / 4u] = vec4u(NAN); }
    else { out[e / 4u] = x[(begin + e - row * p.inner) / 4u]; }
    return;
  }
  out[e / 4u] = vec4u(element(e), element(min(e + 1u, end - 1u)), element(min(e + 2u, end - 1u)),
    element(min(e + 3u, end - 1u)));
}

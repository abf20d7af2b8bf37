// x [outer, count, plane] at places of a wider axis, out [outer, channels, plane]: zeros or a residual of that shape
// elsewhere, the sum of both where they meet, and that through relu. No two slices of x have the same place. Elements
// are vectors where planes are whole ones. An invocation makes up to EACH neighbouring elements of a plane.

struct Params { planes: u32, channels: u32, count: u32, plane: u32 }
@group(0) @binding(0) var<storage, read> index: array<u32>;            // [count]: the place of each slice
@group(0) @binding(1) var<storage, read_write> written: array<u32>;    // [channels]: the slice of each place, or count
@group(0) @binding(2) var<storage, read> x: array</*element*/f32>;
@group(0) @binding(3) var<storage, read> slices: array<u32>;           // `written`, once it is
@group(0) @binding(4) var<storage, read> residual: array</*element*/f32>;
@group(0) @binding(5) var<storage, read_write> out: array</*element*/f32>;
@group(0) @binding(6) var<uniform> p: Params;
override EACH: u32 = 16;
override RESIDUAL: u32 = 0;
override RELU: u32 = 0;

@compute @workgroup_size(64)
fn invert(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let channel = (group.y * groups.x + group.x) * 64u + lid;
  if (channel >= p.channels) { return; }
  var found = p.count;
  for (var i = 0u; i < p.count; i++) { found = select(found, i, index[i] == channel); }
  written[channel] = found;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let job = (group.y * groups.x + group.x) * 64u + lid;
  let parts = (p.plane + EACH - 1u) / EACH;
  let number = job / parts;
  if (number >= p.planes) { return; }
  let outer = number / p.channels;
  let slice = slices[number - outer * p.channels];
  let first = (job - number * parts) * EACH;
  let end = min(first + EACH, p.plane);
  let to = number * p.plane;
  if (slice < p.count) {
    let source = (outer * p.count + slice) * p.plane;
    for (var i = first; i < end; i++) {
      var value = x[source + i];
      if (RESIDUAL == 1u) { value += residual[to + i]; }
      if (RELU == 1u) { value = select(value, /*element*/f32(0.0), value < /*element*/f32(0.0)); }
      out[to + i] = value;
    }
  } else {
    for (var i = first; i < end; i++) {
      var value = /*element*/f32(0.0);
      if (RESIDUAL == 1u) { value = residual[to + i]; }
      if (RELU == 1u) { value = select(value, /*element*/f32(0.0), value < /*element*/f32(0.0)); }
      out[to + i] = value;
    }
  }
}

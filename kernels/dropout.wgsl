// Dropout from a counter-based generator, Philox4x32-10 (Salmon et al. 2011), the same as src/random.ts: word i of
// (seed, stream) is word i % 4 of the block with counter [i / 4, 0, stream] and key seed. state: [seed, seed high,
// stream, stream high].
// `draw` hands out the state as `key` and moves it to the next stream; the mask of a key can be made again for the
// backward pass.

struct Params { size: u32, threshold: u32, factor: f32 }
@group(0) @binding(0) var<storage, read_write> state: array<u32, 4>;
@group(0) @binding(1) var<storage, read_write> copy: array<u32, 4>;
@group(0) @binding(2) var<storage, read> key: array<u32, 4>;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(1)
fn draw() {
  for (var i = 0u; i < 4u; i++) { copy[i] = state[i]; }
  state[2] += 1u;
  if (state[2] == 0u) { state[3] += 1u; }
}

// Upper halves of 32 x 32 bit products, from 16-bit halves; no sum passes 2^32.
fn multiply_high(a: vec2u, b: vec2u) -> vec2u {
  let a_low = a & vec2u(0xffffu);
  let a_high = a >> vec2u(16u);
  let b_low = b & vec2u(0xffffu);
  let b_high = b >> vec2u(16u);
  let low = a_high * b_low + ((a_low * b_low) >> vec2u(16u));
  let middle = a_low * b_high + (low & vec2u(0xffffu));
  return a_high * b_high + (low >> vec2u(16u)) + (middle >> vec2u(16u));
}

fn philox(number: u32) -> vec4u {
  let factors = vec2u(0xcd9e8d57u, 0xd2511f53u);
  var even = vec2u(key[2], number);           // words 2 and 0 of the counter
  var odd = vec2u(0u, key[3]);                // words 1 and 3
  var k = vec2u(key[0], key[1]);
  for (var round = 0u; round < 10u; round++) {
    let low = factors * even;
    even = (multiply_high(factors, even) ^ odd ^ k).yx;
    odd = low;
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return vec4u(even.y, odd.x, even.x, odd.y);
}

// 0 with probability threshold / 2^32, else 1 / (1 - rate).
fn kept(number: u32) -> vec4f {
  return select(vec4f(0.0), vec4f(p.factor), philox(number) >= vec4u(p.threshold));
}

// out = x times the mask; x may be a cotangent. A dropped infinity or NaN is 0 too.
@compute @workgroup_size(64)
fn apply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (4u * i >= p.size) { return; }
  let mask = kept(i);
  out[i] = select(vec4f(0.0), x[i] * mask, mask > vec4f(0.0));
}

@compute @workgroup_size(64)
fn mask(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (4u * i < p.size) { out[i] = kept(i); }
}

// The local branch of focused linear attention: a depthwise convolution of the values over the grid of their tokens,
// zeros outside, is added to what attention made of them. Channels lie side by side, so nothing has to be turned. An
// invocation makes TN neighbours of a row, of one element.
// v, o: [images, side, side, channels]   w: [TAPS, TAPS, kinds]   bias: [kinds]
// Heads may share a kernel: channel c has kind c mod kinds.

struct Params { size: u32, side: u32, channels: u32, kinds: u32 }
alias V = /*V*/f32;                       // vec4f where heads are whole vectors; channels and kinds count V
const TAPS = /*taps*/5u;
const REACH = TAPS / 2u;
const TN = 4u;
@group(0) @binding(0) var<storage, read> v: array<V>;
@group(0) @binding(1) var<storage, read> w: array<V>;
@group(0) @binding(2) var<storage, read> bias: array<V>;
@group(0) @binding(3) var<storage, read_write> o: array<V>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let number = (group.y * groups.x + group.x) * 64u + lid;
  if (number >= p.size) { return; }
  let c = number % p.channels;
  let kind = c % p.kinds;
  let tiles = (p.side + TN - 1u) / TN;
  let j = number / p.channels % tiles * TN;
  let line = number / (p.channels * tiles);           // of all images
  let i = line % p.side;
  let image = line - i;
  var sum: array<V, TN>;
  for (var n = 0u; n < TN; n++) { sum[n] = bias[kind]; }
  var pixels: array<V, TN + TAPS - 1u>;
  for (var y = 0u; y < TAPS; y++) {
    if (i + y < REACH || i + y >= p.side + REACH) { continue; }
    let row = (image + i + y - REACH) * p.side;
    for (var n = 0u; n < TN + TAPS - 1u; n++) {
      let inside = j + n >= REACH && j + n < p.side + REACH;
      let column = min(max(j + n, REACH) - REACH, p.side - 1u);
      pixels[n] = select(V(0), v[(row + column) * p.channels + c], inside);
    }
    for (var x = 0u; x < TAPS; x++) {
      let weight = w[(y * TAPS + x) * p.kinds + kind];
      for (var n = 0u; n < TN; n++) { sum[n] = fma(weight, pixels[n + x], sum[n]); }
    }
  }
  for (var n = 0u; n < TN; n++) {
    if (j + n < p.side) { o[(line * p.side + j + n) * p.channels + c] += sum[n]; }
  }
}

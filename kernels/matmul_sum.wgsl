// The second pass of a split sum: out[o, i] = sum over s of x[o, s, i], then the epilogue of the product. Also column sums
// (gradient of a bias). Always in the same order, so two runs give the same bits. x: [outer, count, size]  out: [outer, pieces, size]
// pieces: the sum over s is itself cut into pieces of `depth` terms; a second launch adds those.

struct Params { outer: u32, count: u32, size: u32, pieces: u32, depth: u32, N: u32, epilogue: u32 }
@group(0) @binding(5) var<uniform> p: Params;

// Spliced in: load_a (four elements of x from an index on) and finish (epilogue and store).
/*memory*/

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let quads = (p.size + 3u) / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= quads * p.pieces * p.outer) { return; }
  let element = i % quads * 4u;
  let piece = i / quads % p.pieces;
  let outer = i / quads / p.pieces;
  let first = piece * p.depth;
  let last = min(first + p.depth, p.count);
  let start = outer * p.count * p.size + element;
  var even = vec4f();
  var odd = vec4f();
  for (var s = first; s + 1u < last; s += 2u) {
    even += load_a(start + s * p.size);
    odd += load_a(start + (s + 1u) * p.size);
  }
  if ((last - first) % 2u == 1u) { even += load_a(start + (last - 1u) * p.size); }
  finish((outer * p.pieces + piece) * p.size + element, element % p.N, min(4u, p.size - element), even + odd);
}

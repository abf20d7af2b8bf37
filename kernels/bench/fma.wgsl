// How fast this adapter multiplies and adds: independent sums of vec4f in registers, nothing read but two numbers, one
// vector written. The sums and their steps are spliced in, because how many chains fill the pipelines differs by
// machine. Every sum settles at shift / (1 - factor).
// y: [invocations, 4]

struct Params { steps: u32, factor: f32, shift: f32 }
@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = vec4f(p.factor);
  let shift = vec4f(p.shift);
  /*declare*/
  for (var i = 0u; i < p.steps; i++) {
    /*steps*/
  }
  y[id.x] = /*sum*/;
}

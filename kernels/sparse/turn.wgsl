// Values of the transposed weight in the order in which its products read them: tile by tile of slots `order`, each
// transposed. values: as in params.wgsl   out: [slots][WIDTH / ACROSS][HEIGHT][ACROSS]

struct Params { slots: u32 }
@group(0) @binding(3) var<uniform> p: Params;
override HEIGHT: u32 = 16;
override WIDTH: u32 = 16;
override STRIP: u32 = 16;                  // rows of a tile that lie side by side
override ACROSS: u32 = 16;                 // columns of it that do once it is transposed

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  let size = HEIGHT * WIDTH;
  let slot = i / size;
  if (slot >= p.slots) { return; }
  let row = i % (HEIGHT * ACROSS) / ACROSS;
  let column = i % size / (HEIGHT * ACROSS) * ACROSS + i % ACROSS;
  out[i] = values[order[slot] * size + (row / STRIP * WIDTH + column) * STRIP + row % STRIP];
}

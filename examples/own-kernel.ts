// A kernel of one's own in the package's table: checked against doubles with its gradient, looked through for races,
// then timed in turns with two ops of the package that compute the same. Run it in the package's folder with
// `node examples/own-kernel.ts` (Node 22.18 or later), or any runner of TypeScript.
import { close, empty, grid, init, kernelFromText, launch, mul, op, relu, scale, square, type Tensor } from 'espalier'
import { bench, benchText, opCase } from 'espalier/bench'
import { checkOp, type Values, values } from 'espalier/testing'

const text = /* wgsl */ `
struct Params { size: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.size) { y[id.x] = max(x[id.x], 0.0) * max(x[id.x], 0.0); }
}`
const kernel = kernelFromText('relu-squared.wgsl', text, { buffers: ['x', 'y'], params: ['size'] })
const mine = op<[x: Tensor], object>({
  name: 'relu-squared',
  axes: '... -> ...',
  run(x) {
    const y = empty(x.shape)
    launch(kernel, { x, y }, { size: x.size }, grid(Math.ceil(x.size / 64)))
    return y
  },
  vjp: ({ args: [x] }, dy) => [mul(dy, scale(relu(x), { by: 2 }))],
})
const reference = (x: Values) => values(x.shape, x.data.map((v) => Math.max(v, 0) ** 2))

await init({ adapter: process.argv[2] })
console.log(await checkOp({ name: 'relu-squared', op: mine, reference, args: [[7, 33]] }))
const work = opCase({
  name: 'relu-squared',
  args: [[256, 1024]],
  impls: { package: (x) => square(relu(x)), mine },
  reference,
  flops: 2 * 256 * 1024,
})
console.log(benchText(await bench([work], { rounds: 3, msPerRound: 10 })))
await close()

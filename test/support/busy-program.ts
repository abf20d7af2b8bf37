// Keeps two threads of the embedded device in a loop that it watches, nearly always: busy-program.mjs <seconds>.
import { createCpuGpu } from '../../src/cpu/index.ts'

const code = `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) {
  y[g.x] = 0.0;
  while (y[g.x] < 30000.0) { y[g.x] += 1.0; }
}`
const groups = 8, size = 256 * groups
const device = await (await createCpuGpu({ threads: 2 }).requestAdapter())!.requestDevice()
const pipeline = device.createComputePipeline({
  layout: 'auto',
  compute: { module: device.createShaderModule({ code }) },
})
const buffer = device.createBuffer({ size, usage: 0x80 | 4 })
const group = device.createBindGroup({
  layout: pipeline.getBindGroupLayout(0),
  entries: [{ binding: 0, resource: { buffer } }],
})
const end = performance.now() + 1000 * Number(process.argv[2])
let first = true
do {
  device.pushErrorScope('internal')
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  pass.setBindGroup(0, group)
  pass.dispatchWorkgroups(groups)
  pass.end()
  device.queue.submit([encoder.finish()])
  await device.queue.onSubmittedWorkDone()
  const error = await device.popErrorScope()
  if (error) throw new Error(error.message)
  if (first) console.log('at work')
  first = false
} while (performance.now() < end)
device.destroy()

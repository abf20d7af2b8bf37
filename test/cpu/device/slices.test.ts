// Long work leaves the event loop its turns, in order, whatever is asked for meanwhile; what does not end is stopped.
import { setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type CpuDevice, createCpuGpu } from '../../../src/cpu/index.ts'

const devices: CpuDevice[] = []
async function device(options: Parameters<typeof createCpuGpu>[0]): Promise<CpuDevice> {
  const made = await (await createCpuGpu(options).requestAdapter())!.requestDevice() as CpuDevice
  devices.push(made)
  return made
}
afterEach(() => {
  for (const made of devices.splice(0)) made.destroy()
})

/** Adds 1 to each element, slowly. */
const slow = `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) {
  var a = 1.0;
  for (var i = 0u; i < 20000u; i++) { a = sqrt(a + f32(i & 1u)); }
  y[g.x] += 1.0 + min(a * 1e-30, 0.0);
}`

function job(on: GPUDevice, code: string, groups: number) {
  const pipeline = on.createComputePipeline({ layout: 'auto', compute: { module: on.createShaderModule({ code }) } })
  const buffer = on.createBuffer({ size: groups * 256, usage: 0x80 | 4 | 8 })
  const staging = on.createBuffer({ size: groups * 256, usage: 1 | 8 })
  const group = on.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  })
  const submit = (copy = false) => {
    const encoder = on.createCommandEncoder(), pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
    pass.dispatchWorkgroups(groups)
    pass.end()
    if (copy) encoder.copyBufferToBuffer(buffer, 0, staging, 0, groups * 256)
    on.queue.submit([encoder.finish()])
  }
  return { buffer, staging, submit }
}
const read = async (buffer: GPUBuffer) => {
  await buffer.mapAsync(1)
  return [...new Set(new Float32Array(buffer.getMappedRange()))]
}

describe.each([1, 2])('%i threads', (threads) => {
  test('timers fire during a long pass, and what is asked for meanwhile keeps its order', async () => {
    const on = await device({ threads }), { buffer, staging, submit } = job(on, slow, 64)
    submit()
    await on.queue.onSubmittedWorkDone() // compiled and timed
    let turns = 0, over = false
    const count = (async () => {
      while (!over) {
        await setTimeout(0)
        turns++
      }
    })()
    const data = new Float32Array(64 * 64).fill(10)
    for (let i = 0; i < 4; i++) submit()
    on.queue.writeBuffer(buffer, 0, data) // after those four, before the next
    data.fill(1000)
    submit(true)
    buffer.destroy() // its memory stays until the work is done
    const other = on.createBuffer({ size: 64 * 256, usage: 4 | 8 })
    on.queue.writeBuffer(other, 0, data)
    expect(await read(staging)).toEqual([11])
    over = true
    await count
    expect(turns).toBeGreaterThan(5)
  })

  test('an error of later work goes to the scope it was submitted in', async () => {
    const endless = slow.replace('i < 20000u; i++', 'y[0] < 1e30; i++')
    const on = await device({ threads, timeLimit: 300 })
    const long = job(on, slow, 64)
    const bad = job(on, endless, 2)
    long.submit()
    on.pushErrorScope('internal')
    bad.submit()
    const scope = on.popErrorScope()
    on.pushErrorScope('internal')
    const error = await scope
    expect(error?.constructor.name).toBe('GPUInternalError')
    expect(error?.message).toMatch(/the loop at line 4 did not end within 0.3 s/)
    expect(await on.popErrorScope()).toBeNull()
    // and the device goes on
    on.queue.writeBuffer(long.buffer, 0, new Float32Array(64 * 64))
    long.submit(true)
    expect(await read(long.staging)).toEqual([1])
  })

  test('a device that is destroyed at work keeps its promises', async () => {
    const on = await device({ threads }), { submit } = job(on, slow, 256)
    for (let i = 0; i < 20; i++) submit()
    const done = on.queue.onSubmittedWorkDone()
    on.destroy()
    await done
  })
})

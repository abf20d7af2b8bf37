// The two devices of these tests: the embedded one with chosen options, and dawn's, to compare behaviour with.
import { createCpuGpu, type CpuDevice, type CpuOptions } from '../../src/cpu/index.ts'

// dawn ends the process when this object is collected
let dawn: GPU | undefined

/** A fresh embedded device with the adapter's largest buffers. */
export async function embedded(options: CpuOptions = {}, descriptor: GPUDeviceDescriptor = {}): Promise<CpuDevice> {
  const adapter = (await createCpuGpu(options).requestAdapter())!
  return await adapter.requestDevice(descriptor) as CpuDevice
}

/** A fresh device of dawn's first adapter. */
export async function native(descriptor: GPUDeviceDescriptor = {}): Promise<GPUDevice> {
  dawn ??= (await import('webgpu')).create([])
  return (await dawn.requestAdapter())!.requestDevice(descriptor)
}

export const usage = {
  MAP_READ: 1,
  MAP_WRITE: 2,
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  INDIRECT: 0x100,
  QUERY_RESOLVE: 0x200,
} as const

/** y[i] = 3 x[i] + 1 over as many words as y has. */
export const affine = `@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&y)) { y[id.x] = x[id.x] * 3u + 1u; }
}`

/** A storage buffer with these words. */
export function wordsBuffer(device: GPUDevice, data: Uint32Array<ArrayBuffer>, label = ''): GPUBuffer {
  const buffer = device.createBuffer({
    label,
    size: data.byteLength,
    usage: usage.STORAGE | usage.COPY_SRC | usage.COPY_DST,
  })
  device.queue.writeBuffer(buffer, 0, data)
  return buffer
}

/** What a buffer with COPY_SRC holds, through a copy and a mapping. */
export async function readWords(device: GPUDevice, buffer: GPUBuffer): Promise<Uint32Array> {
  const staging = device.createBuffer({ size: buffer.size, usage: usage.MAP_READ | usage.COPY_DST })
  const encoder = device.createCommandEncoder()
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(1)
  const words = new Uint32Array(staging.getMappedRange().slice(0))
  staging.destroy()
  return words
}

/** Records one compute pass with what `body` does in it, and submits it. */
export function inPass(
  device: GPUDevice,
  body: (pass: GPUComputePassEncoder) => void,
  descriptor?: GPUComputePassDescriptor,
): void {
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass(descriptor)
  body(pass)
  pass.end()
  device.queue.submit([encoder.finish()])
}

/** The kernel `code` over buffers at bindings 0, 1, .. of group 0. */
export function setUp(
  device: GPUDevice,
  code: string,
  buffers: GPUBuffer[],
  constants?: Record<string, number>,
): (pass: GPUComputePassEncoder) => void {
  const pipeline = device.createComputePipeline({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }), constants },
  })
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  })
  return (pass) => {
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
  }
}

/** The first validation error of what `program` does, null if there was none. */
export async function problemOf(device: GPUDevice, program: (device: GPUDevice) => unknown): Promise<string | null> {
  device.pushErrorScope('validation')
  let thrown: unknown
  try {
    await program(device)
  } catch (error) {
    thrown = error
  }
  const error = await device.popErrorScope()
  if (error) return error.message
  if (thrown) throw thrown
  return null
}

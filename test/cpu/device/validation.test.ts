// Broken rules: each is an error on the embedded device and on dawn. Legal neighbours of them are no error on either.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CpuDevice } from '../../../src/cpu/index.ts'
import { noDawn } from '../../support/dawn.ts'
import { affine, embedded, inPass, native, problemOf, setUp, usage, wordsBuffer } from '../../support/gpus.ts'

const { MAP_READ, MAP_WRITE, COPY_SRC, COPY_DST, UNIFORM, STORAGE, INDIRECT, QUERY_RESOLVE } = usage

const buffer = (device: GPUDevice, bits: number, size = 1024, label = 'buffer'): GPUBuffer =>
  device.createBuffer({ label, size, usage: bits })
const shader = (device: GPUDevice, code = affine): GPUShaderModule =>
  device.createShaderModule({ label: 'shader', code })

const entry = (
  binding: number,
  type: GPUBufferBindingType,
  more: GPUBufferBindingLayout = {},
): GPUBindGroupLayoutEntry => ({ binding, visibility: 4, buffer: { type, ...more } })
const layoutOf = (device: GPUDevice, ...entries: GPUBindGroupLayoutEntry[]): GPUBindGroupLayout =>
  device.createBindGroupLayout({ label: 'layout', entries })
const affineLayout = (device: GPUDevice, more: GPUBufferBindingLayout = {}): GPUBindGroupLayout =>
  layoutOf(device, entry(0, 'read-only-storage', more), entry(1, 'storage', more))
const pipelineOf = (
  device: GPUDevice,
  layouts: GPUBindGroupLayout[] | 'auto',
  code = affine,
  constants?: Record<string, number>,
): GPUComputePipeline =>
  device.createComputePipeline({
    label: 'pipeline',
    compute: { module: shader(device, code), constants },
    layout: layouts === 'auto' ? 'auto' : device.createPipelineLayout({ bindGroupLayouts: layouts }),
  })
const groupOf = (device: GPUDevice, layout: GPUBindGroupLayout, ...resources: GPUBufferBinding[]): GPUBindGroup =>
  device.createBindGroup({
    label: 'group',
    layout,
    entries: resources.map((resource, binding) => ({ binding, resource })),
  })

/** Records commands without submitting them. */
function encode(device: GPUDevice, body: (encoder: GPUCommandEncoder) => void): GPUCommandBuffer {
  const encoder = device.createCommandEncoder()
  body(encoder)
  return encoder.finish()
}

const uniformShader = `struct Params { n: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] = p.n; }`

const overrideShader = `override N: u32;
override M: u32 = 4;
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> w: array<u32, M>;
@compute @workgroup_size(N) fn main(@builtin(local_invocation_index) i: u32) { w[i % M] = i; y[0] = w[0]; }`

const twoWriters = `@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] = x[0]; }`

/** What is wrong, a program that does it, and what the embedded device's message must say. */
const wrong: [string, (device: GPUDevice) => unknown, RegExp][] = [
  // buffers
  ['no usage', (d) => buffer(d, 0), /usage 0/],
  ['an unknown usage bit', (d) => buffer(d, 1 << 20), /usage 1048576/],
  ['MAP_READ with STORAGE', (d) => buffer(d, MAP_READ | STORAGE), /MAP_READ goes with COPY_DST only/],
  ['MAP_WRITE with COPY_DST', (d) => buffer(d, MAP_WRITE | COPY_DST), /MAP_WRITE goes with COPY_SRC only/],
  ['a buffer over maxBufferSize', (d) => buffer(d, STORAGE, d.limits.maxBufferSize + 4), /exceeds maxBufferSize/],
  // mapping
  ['mapping without MAP_READ', (d) => void buffer(d, COPY_DST).mapAsync(1).catch(() => 0), /needs MAP_READ/],
  [
    'mapping to write without MAP_WRITE',
    (d) => void buffer(d, MAP_READ | COPY_DST).mapAsync(2).catch(() => 0),
    /needs MAP_WRITE/,
  ],
  [
    'mapping to read and write',
    (d) => void buffer(d, MAP_READ | COPY_DST).mapAsync(3).catch(() => 0),
    /neither READ nor WRITE/,
  ],
  [
    'a map offset that is no multiple of 8',
    (d) => void buffer(d, MAP_READ | COPY_DST).mapAsync(1, 4, 4).catch(() => 0),
    /\(4\) is not a multiple of 8/,
  ],
  [
    'a map size that is no multiple of 4',
    (d) => void buffer(d, MAP_READ | COPY_DST).mapAsync(1, 0, 6).catch(() => 0),
    /\(6\) is not a multiple of 4/,
  ],
  [
    'mapping beyond the end',
    (d) => void buffer(d, MAP_READ | COPY_DST).mapAsync(1, 1016, 16).catch(() => 0),
    /1016\.\.1032 is outside/,
  ],
  ['mapping a mapped buffer', async (d) => {
    const b = buffer(d, MAP_READ | COPY_DST)
    await b.mapAsync(1)
    await b.mapAsync(1).catch(() => 0)
  }, /already mapped/],
  ['mapping a destroyed buffer', (d) => {
    const b = buffer(d, MAP_READ | COPY_DST)
    b.destroy()
    void b.mapAsync(1).catch(() => 0)
  }, /"buffer"\] is destroyed/],
  // queue
  [
    'writeBuffer without COPY_DST',
    (d) => d.queue.writeBuffer(buffer(d, STORAGE), 0, new Uint32Array(1)),
    /COPY_DST is needed/,
  ],
  [
    'writeBuffer beyond the end',
    (d) => d.queue.writeBuffer(buffer(d, COPY_DST), 1020, new Uint32Array(2)),
    /1020\.\.1028 is outside/,
  ],
  [
    'writeBuffer at an odd offset',
    (d) => d.queue.writeBuffer(buffer(d, COPY_DST), 2, new Uint32Array(1)),
    /bufferOffset \(2\)/,
  ],
  ['writeBuffer to a mapped buffer', async (d) => {
    const b = buffer(d, MAP_READ | COPY_DST)
    await b.mapAsync(1)
    d.queue.writeBuffer(b, 0, new Uint32Array(1))
  }, /while mapped/],
  ['writeBuffer to a destroyed buffer', (d) => {
    const b = buffer(d, COPY_DST)
    b.destroy()
    d.queue.writeBuffer(b, 0, new Uint32Array(1))
  }, /while destroyed/],
  ['submitting twice', (d) => {
    const commands = encode(d, () => undefined)
    d.queue.submit([commands])
    d.queue.submit([commands])
  }, /submitted before/],
  ['submitting the same twice at once', (d) => {
    const commands = encode(d, () => undefined)
    d.queue.submit([commands, commands])
  }, /submitted before/],
  ['submitting with a destroyed buffer', (d) => {
    const b = buffer(d, COPY_DST, 1024, 'gone')
    const commands = encode(d, (e) => e.clearBuffer(b))
    b.destroy()
    d.queue.submit([commands])
  }, /"gone"\] is used in submit while destroyed/],
  ['submitting with a mapped buffer', async (d) => {
    const b = buffer(d, MAP_READ | COPY_DST, 1024, 'mapped one')
    const commands = encode(d, (e) => e.clearBuffer(b))
    await b.mapAsync(1)
    d.queue.submit([commands])
  }, /"mapped one"\] is used in submit while mapped/],
  ['submitting with a buffer whose mapping is pending', (d) => {
    const b = buffer(d, MAP_READ | COPY_DST)
    const commands = encode(d, (e) => e.clearBuffer(b))
    void b.mapAsync(1).catch(() => 0)
    d.queue.submit([commands])
  }, /pending/],
  ['submitting a dispatch on a destroyed buffer', (d) => {
    const x = wordsBuffer(d, new Uint32Array(64)), y = wordsBuffer(d, new Uint32Array(64), 'gone')
    const bind = setUp(d, affine, [x, y])
    const commands = encode(d, (e) => {
      const pass = e.beginComputePass()
      bind(pass)
      pass.dispatchWorkgroups(1)
      pass.end()
    })
    y.destroy()
    d.queue.submit([commands])
  }, /"gone"\] is used in submit while destroyed/],
  // copies and clears
  [
    'copying from a buffer without COPY_SRC',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, STORAGE), 0, buffer(d, COPY_DST), 0, 4)),
    /COPY_SRC is needed/,
  ],
  [
    'copying to a buffer without COPY_DST',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, COPY_SRC), 0, buffer(d, STORAGE), 0, 4)),
    /COPY_DST is needed/,
  ],
  ['copying within a buffer', (d) =>
    encode(d, (e) => {
      const b = buffer(d, COPY_SRC | COPY_DST)
      e.copyBufferToBuffer(b, 0, b, 512, 4)
    }), /are both/],
  [
    'copying 6 bytes',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, COPY_SRC), 0, buffer(d, COPY_DST), 0, 6)),
    /size \(6\)/,
  ],
  [
    'copying from an odd offset',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, COPY_SRC), 2, buffer(d, COPY_DST), 0, 4)),
    /sourceOffset \(2\)/,
  ],
  [
    'copying to an odd offset',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, COPY_SRC), 0, buffer(d, COPY_DST), 2, 4)),
    /destinationOffset \(2\)/,
  ],
  [
    'copying beyond the end of the source',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, COPY_SRC), 1024, buffer(d, COPY_DST), 0, 4)),
    /1024\.\.1028/,
  ],
  [
    'copying beyond the end of the destination',
    (d) => encode(d, (e) => e.copyBufferToBuffer(buffer(d, COPY_SRC), 0, buffer(d, COPY_DST), 1000, 32)),
    /1000\.\.1032/,
  ],
  ['clearing without COPY_DST', (d) => encode(d, (e) => e.clearBuffer(buffer(d, STORAGE))), /COPY_DST is needed/],
  ['clearing beyond the end', (d) => encode(d, (e) => e.clearBuffer(buffer(d, COPY_DST), 1020, 8)), /outside/],
  ['clearing 3 bytes', (d) => encode(d, (e) => e.clearBuffer(buffer(d, COPY_DST), 0, 3)), /size \(3\)/],
  ['an invalid buffer in a copy', (d) => {
    d.pushErrorScope('validation')
    const bad = buffer(d, 0, 4, 'bad')
    void d.popErrorScope()
    encode(d, (e) => e.clearBuffer(bad))
  }, /\[Invalid Buffer "bad"\]/],
  // encoders and passes
  ['finishing twice', (d) => {
    const e = d.createCommandEncoder({ label: 'once' })
    e.finish()
    e.finish()
  }, /"once"\] is already finished/],
  ['recording after finish', (d) => {
    const e = d.createCommandEncoder()
    e.finish()
    e.clearBuffer(buffer(d, COPY_DST))
  }, /already finished/],
  ['finishing with an open pass', (d) => {
    const e = d.createCommandEncoder()
    e.beginComputePass()
    e.finish()
  }, /not ended/],
  ['copying while a pass is open', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      e.clearBuffer(buffer(d, COPY_DST))
      pass.end()
    }), /not ended/],
  ['two passes at once', (d) =>
    encode(d, (e) => {
      const a = e.beginComputePass()
      e.beginComputePass().end()
      a.end()
    }), /not ended|already/],
  ['ending a pass twice', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.end()
      pass.end()
    }), /already ended/],
  ['recording in an ended pass', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.end()
      pass.dispatchWorkgroups(1)
    }), /already ended/],
  ['submitting commands that failed', (d) => {
    d.pushErrorScope('validation')
    const commands = encode(d, (e) => e.clearBuffer(buffer(d, STORAGE)))
    void d.popErrorScope()
    d.queue.submit([commands])
  }, /Invalid CommandBuffer/],
  // bind group layouts
  ['a binding number twice', (d) => layoutOf(d, entry(1, 'storage'), entry(1, 'uniform')), /binding 1 is given twice/],
  ['a binding number over the limit', (d) => layoutOf(d, entry(1000, 'storage')), /maxBindingsPerBindGroup/],
  [
    'too many storage buffers',
    (d) =>
      layoutOf(
        d,
        ...Array.from({ length: d.limits.maxStorageBuffersPerShaderStage + 1 }, (_, i) => entry(i, 'storage')),
      ),
    /maxStorageBuffersPerShaderStage/,
  ],
  [
    'too many uniform buffers',
    (d) =>
      layoutOf(
        d,
        ...Array.from({ length: d.limits.maxUniformBuffersPerShaderStage + 1 }, (_, i) => entry(i, 'uniform')),
      ),
    /maxUniformBuffersPerShaderStage/,
  ],
  [
    'too many dynamic storage buffers',
    (d) => layoutOf(d, ...Array.from({ length: 5 }, (_, i) => entry(i, 'storage', { hasDynamicOffset: true }))),
    /maxDynamicStorageBuffers/,
  ],
  [
    'too many groups in a layout',
    (d) => d.createPipelineLayout({ bindGroupLayouts: Array.from({ length: 5 }, () => layoutOf(d)) }),
    /maxBindGroups/,
  ],
  ['too many buffers over the groups of a layout', (d) => {
    const half = layoutOf(d, ...Array.from({ length: 5 }, (_, i) => entry(i, 'storage')))
    d.createPipelineLayout({ bindGroupLayouts: [half, half] })
  }, /10 bindings exceed maxStorageBuffersPerShaderStage/],
  // bind groups
  ['too few entries', (d) => groupOf(d, affineLayout(d), { buffer: buffer(d, STORAGE) }), /1 entries.*has 2/],
  [
    'an entry for a binding that is not there',
    (d) =>
      d.createBindGroup({
        layout: layoutOf(d, entry(0, 'storage')),
        entries: [{ binding: 3, resource: { buffer: buffer(d, STORAGE) } }],
      }),
    /binding 0/,
  ],
  [
    'a storage binding without STORAGE',
    (d) => groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, UNIFORM) }),
    /needs STORAGE/,
  ],
  [
    'a uniform binding without UNIFORM',
    (d) => groupOf(d, layoutOf(d, entry(0, 'uniform')), { buffer: buffer(d, STORAGE) }),
    /needs UNIFORM/,
  ],
  [
    'a storage offset off its alignment',
    (d) => groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, STORAGE), offset: 128 }),
    /\(128\) is not a multiple of 256/,
  ],
  [
    'a uniform offset off its alignment',
    (d) => groupOf(d, layoutOf(d, entry(0, 'uniform')), { buffer: buffer(d, UNIFORM), offset: 16 }),
    /\(16\) is not a multiple of 256/,
  ],
  [
    'a storage size that is no multiple of 4',
    (d) => groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, STORAGE), size: 6 }),
    /\(6\) is not a multiple of 4/,
  ],
  [
    'a range beyond the end',
    (d) => groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, STORAGE), offset: 512, size: 768 }),
    /512\.\.1280/,
  ],
  [
    'an offset beyond the end',
    (d) => groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, STORAGE), offset: 2048 }),
    /beyond/,
  ],
  [
    'an empty range',
    (d) => groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, STORAGE), offset: 1024 }),
    /empty/,
  ],
  [
    'a uniform binding over 64 KiB',
    (d) => groupOf(d, layoutOf(d, entry(0, 'uniform')), { buffer: buffer(d, UNIFORM, 65540) }),
    /maxUniformBufferBindingSize/,
  ],
  [
    'a storage binding over its limit',
    (d) =>
      groupOf(d, layoutOf(d, entry(0, 'storage')), {
        buffer: buffer(d, STORAGE, d.limits.maxStorageBufferBindingSize + 4),
      }),
    /maxStorageBufferBindingSize/,
  ],
  [
    'less than minBindingSize',
    (d) => groupOf(d, layoutOf(d, entry(0, 'uniform', { minBindingSize: 32 })), { buffer: buffer(d, UNIFORM, 28) }),
    /28 bytes.*at least 32/,
  ],
  ['an invalid buffer in a bind group', (d) => {
    d.pushErrorScope('validation')
    const bad = buffer(d, 0, 4, 'bad')
    void d.popErrorScope()
    groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: bad })
  }, /\[Invalid Buffer "bad"\]/],
  // pipelines
  ['a shader with a mistake', (d) => shader(d, 'fn main() { let a = ; }'), /shader:1:21/],
  [
    'an entry point that is not there',
    (d) => d.createComputePipeline({ layout: 'auto', compute: { module: shader(d), entryPoint: 'other' } }),
    /other/,
  ],
  ['a constant that is not there', (d) => pipelineOf(d, 'auto', affine, { WIDTH: 1 }), /WIDTH/],
  ['an override without a value', (d) => pipelineOf(d, 'auto', overrideShader), /N/],
  ['a workgroup size of zero', (d) => pipelineOf(d, 'auto', overrideShader, { N: 0 }), /workgroup size 0/],
  [
    'a workgroup size over the limit',
    (d) => pipelineOf(d, 'auto', overrideShader, { N: 257 }),
    /257, maxComputeWorkgroupSizeX is 256/,
  ],
  ['too many invocations', (d) => pipelineOf(d, 'auto', affine.replace('(64)', '(64, 8)')), /512 invocations/],
  ['too much workgroup storage', (d) => pipelineOf(d, 'auto', overrideShader, { N: 1, M: 4097 }), /16388 bytes.*16384/],
  ['a constant that does not fit its type', (d) => pipelineOf(d, 'auto', overrideShader, { N: -1 }), /N/],
  [
    'a layout without a binding of the shader',
    (d) => pipelineOf(d, [layoutOf(d, entry(0, 'read-only-storage'))]),
    /@binding\(1\) y is not in/,
  ],
  ['a layout without the group', (d) => pipelineOf(d, []), /@group\(0\)/],
  [
    'a layout with another type',
    (d) => pipelineOf(d, [layoutOf(d, entry(0, 'storage'), entry(1, 'storage'))]),
    /x is read-only-storage in the shader and storage/,
  ],
  [
    'a layout with another visibility',
    (d) => pipelineOf(d, [layoutOf(d, { ...entry(0, 'read-only-storage'), visibility: 2 }, entry(1, 'storage'))]),
    /not visible/,
  ],
  [
    'a layout with a smaller binding than the shader needs',
    (d) => pipelineOf(d, [layoutOf(d, entry(0, 'uniform', { minBindingSize: 8 }), entry(1, 'storage'))], uniformShader),
    /needs 1[26] bytes, minBindingSize in .* is 8/,
  ],
  ['getBindGroupLayout over the limit', (d) => pipelineOf(d, 'auto').getBindGroupLayout(4), /maxBindGroups/],
  // dispatches
  ['no pipeline', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.dispatchWorkgroups(1)
      pass.end()
    }), /no pipeline/],
  ['no bind group', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.setPipeline(pipelineOf(d, 'auto'))
      pass.dispatchWorkgroups(1)
      pass.end()
    }), /at index 0, none is set/],
  ['a bind group of another layout', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.setPipeline(pipelineOf(d, [affineLayout(d)]))
      pass.setBindGroup(
        0,
        groupOf(d, layoutOf(d, entry(0, 'storage'), entry(1, 'storage')), { buffer: buffer(d, STORAGE) }, {
          buffer: buffer(d, STORAGE),
        }),
      )
      pass.dispatchWorkgroups(1)
      pass.end()
    }), /"group"\] at index 0 has .* does not match/],
  ['a bind group of another automatic layout', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.setPipeline(pipelineOf(d, 'auto'))
      pass.setBindGroup(
        0,
        groupOf(d, pipelineOf(d, 'auto').getBindGroupLayout(0), { buffer: buffer(d, STORAGE) }, {
          buffer: buffer(d, STORAGE),
        }),
      )
      pass.dispatchWorkgroups(1)
      pass.end()
    }), /does not match/],
  ['65,536 workgroups', (d) => {
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), wordsBuffer(d, new Uint32Array(4))])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroups(1, 65536)
    })
  }, /1 x 65536 x 1 workgroups, maxComputeWorkgroupsPerDimension is 65535/],
  ['one buffer read-only and writable', (d) => {
    const b = wordsBuffer(d, new Uint32Array(64), 'both')
    const bind = setUp(d, affine, [b, b])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroups(1)
    })
  }, /"both"\], at binding 1 .* writable and read-only in one dispatch/],
  ['disjoint halves of a buffer read-only and writable', (d) => {
    const b = buffer(d, STORAGE), layout = affineLayout(d)
    const group = groupOf(d, layout, { buffer: b, size: 512 }, { buffer: b, offset: 512 })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [layout]))
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
  }, /writable and read-only/],
  ['two writable bindings that overlap', (d) => {
    const b = buffer(d, STORAGE), layout = layoutOf(d, entry(0, 'storage'), entry(1, 'storage'))
    const group = groupOf(d, layout, { buffer: b, size: 516 }, { buffer: b, offset: 512 })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [layout], twoWriters))
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
  }, /writable twice with ranges that overlap/],
  ['writable bindings that overlap by their dynamic offsets', (d) => {
    const b = buffer(d, STORAGE),
      layout = layoutOf(d, entry(0, 'storage', { hasDynamicOffset: true }), entry(1, 'storage'))
    const group = groupOf(d, layout, { buffer: b, size: 256 }, { buffer: b, offset: 512 })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [layout], twoWriters))
      pass.setBindGroup(0, group, [512])
      pass.dispatchWorkgroups(1)
    })
  }, /writable twice/],
  ['a binding smaller than the shader needs, found at the dispatch', (d) => {
    const layout = layoutOf(d, entry(0, 'uniform'), entry(1, 'storage'))
    const group = groupOf(d, layout, { buffer: buffer(d, UNIFORM), size: 8 }, { buffer: buffer(d, STORAGE) })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [layout], uniformShader))
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
  }, /has 8 bytes bound, p in \[ComputePipeline "pipeline"\] needs 1[26]/],
  ['too few dynamic offsets', (d) =>
    encode(d, (e) => {
      const layout = affineLayout(d, { hasDynamicOffset: true })
      const pass = e.beginComputePass()
      pass.setBindGroup(
        0,
        groupOf(d, layout, { buffer: buffer(d, STORAGE), size: 256 }, { buffer: buffer(d, STORAGE), size: 256 }),
        [0],
      )
      pass.end()
    }), /1 dynamic offsets, .* has 2/],
  ['a dynamic offset off its alignment', (d) =>
    encode(d, (e) => {
      const layout = affineLayout(d, { hasDynamicOffset: true })
      const pass = e.beginComputePass()
      pass.setBindGroup(
        0,
        groupOf(d, layout, { buffer: buffer(d, STORAGE), size: 256 }, { buffer: buffer(d, STORAGE), size: 256 }),
        [0, 128],
      )
      pass.end()
    }), /dynamic offset of binding 1.*\(128\) is not a multiple of 256/],
  ['a dynamic offset beyond the end', (d) =>
    encode(d, (e) => {
      const layout = affineLayout(d, { hasDynamicOffset: true })
      const pass = e.beginComputePass()
      pass.setBindGroup(
        0,
        groupOf(d, layout, { buffer: buffer(d, STORAGE), size: 256 }, { buffer: buffer(d, STORAGE), size: 256 }),
        [0, 1024],
      )
      pass.end()
    }), /1024\.\.1280 is outside/],
  ['a bind group index over the limit', (d) =>
    encode(d, (e) => {
      const pass = e.beginComputePass()
      pass.setBindGroup(4, groupOf(d, layoutOf(d)))
      pass.end()
    }), /maxBindGroups/],
  ['an indirect buffer without INDIRECT', (d) => {
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), wordsBuffer(d, new Uint32Array(4))])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroupsIndirect(buffer(d, STORAGE), 0)
    })
  }, /INDIRECT is needed/],
  ['an indirect offset beyond the end', (d) => {
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), wordsBuffer(d, new Uint32Array(4))])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroupsIndirect(buffer(d, INDIRECT), 1016)
    })
  }, /1016\.\.1028/],
  ['an indirect offset that is no multiple of 4', (d) => {
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), wordsBuffer(d, new Uint32Array(4))])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroupsIndirect(buffer(d, INDIRECT), 2)
    })
  }, /indirectOffset \(2\)/],
  ['an indirect buffer that the dispatch writes', (d) => {
    const b = d.createBuffer({ size: 256, usage: STORAGE | INDIRECT })
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), b])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroupsIndirect(b, 0)
    })
  }, /written by the dispatch/],
  // queries
  ['too many queries', (d) => d.createQuerySet({ type: 'timestamp', count: 4097 }), /4096/],
  ['a timestamp beyond the set', (d) =>
    encode(d, (e) => {
      const querySet = d.createQuerySet({ type: 'timestamp', count: 2 })
      e.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 2 } }).end()
    }), /query 2 is not in/],
  ['the same query for beginning and end', (d) =>
    encode(d, (e) => {
      const querySet = d.createQuerySet({ type: 'timestamp', count: 2 })
      e.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 1, endOfPassWriteIndex: 1 } }).end()
    }), /twice/],
  [
    'resolving to a buffer without QUERY_RESOLVE',
    (d) =>
      encode(
        d,
        (e) => e.resolveQuerySet(d.createQuerySet({ type: 'timestamp', count: 2 }), 0, 2, buffer(d, COPY_DST), 0),
      ),
    /QUERY_RESOLVE is needed/,
  ],
  [
    'resolving to an offset that is no multiple of 256',
    (d) =>
      encode(
        d,
        (e) => e.resolveQuerySet(d.createQuerySet({ type: 'timestamp', count: 2 }), 0, 2, buffer(d, QUERY_RESOLVE), 8),
      ),
    /\(8\) is not a multiple of 256/,
  ],
  [
    'resolving more queries than there are',
    (d) =>
      encode(
        d,
        (e) => e.resolveQuerySet(d.createQuerySet({ type: 'timestamp', count: 2 }), 1, 2, buffer(d, QUERY_RESOLVE), 0),
      ),
    /1\.\.3/,
  ],
  [
    'resolving beyond the end of the buffer',
    (d) =>
      encode(
        d,
        (e) =>
          e.resolveQuerySet(
            d.createQuerySet({ type: 'timestamp', count: 2 }),
            0,
            2,
            buffer(d, QUERY_RESOLVE, 264),
            256,
          ),
      ),
    /256\.\.272/,
  ],
  ['submitting with a destroyed query set', (d) => {
    const querySet = d.createQuerySet({ type: 'timestamp', count: 2, label: 'gone' })
    const commands = encode(d, (e) => e.resolveQuerySet(querySet, 0, 2, buffer(d, QUERY_RESOLVE), 0))
    querySet.destroy()
    d.queue.submit([commands])
  }, /"gone"\] is used in submit while destroyed/],
]

/** Near neighbours of the above that are allowed. */
const right: [string, (device: GPUDevice) => unknown][] = [
  ['an empty buffer', (d) => buffer(d, COPY_DST, 0)],
  ['submitting nothing', (d) => d.queue.submit([])],
  ['a bind group to a destroyed buffer', (d) => {
    const b = buffer(d, STORAGE)
    b.destroy()
    groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: b })
  }],
  ['two writable bindings side by side in one buffer', (d) => {
    const b = buffer(d, STORAGE), layout = layoutOf(d, entry(0, 'storage'), entry(1, 'storage'))
    const group = groupOf(d, layout, { buffer: b, size: 512 }, { buffer: b, offset: 512 })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [layout], twoWriters))
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
  }],
  ['equal layouts made twice', (d) => {
    const group = groupOf(d, affineLayout(d), { buffer: buffer(d, STORAGE) }, { buffer: buffer(d, STORAGE) })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [affineLayout(d)]))
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
  }],
  ['a bind group the pipeline does not use', (d) => {
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), wordsBuffer(d, new Uint32Array(4))])
    const group = groupOf(d, layoutOf(d, entry(0, 'storage')), { buffer: buffer(d, STORAGE) })
    inPass(d, (pass) => {
      pass.setBindGroup(3, group)
      bind(pass)
      pass.dispatchWorkgroups(1)
    })
  }],
  ['65,535 workgroups, and none', (d) => {
    const bind = setUp(d, affine, [wordsBuffer(d, new Uint32Array(4)), wordsBuffer(d, new Uint32Array(4))])
    inPass(d, (pass) => {
      bind(pass)
      pass.dispatchWorkgroups(65535)
      pass.dispatchWorkgroups(0, 5)
    })
  }],
  ['unmap of an unmapped and destroy of a destroyed buffer', (d) => {
    const b = buffer(d, COPY_DST)
    b.unmap()
    b.destroy()
    b.destroy()
  }],
  ['mapping twice at once, which the second promise says', async (d) => {
    const b = buffer(d, MAP_READ | COPY_DST)
    const [, second] = await Promise.allSettled([b.mapAsync(1), b.mapAsync(1)])
    expect(second).toMatchObject({ status: 'rejected', reason: { name: 'OperationError' } })
  }],
  [
    'a layout with more than the shader uses',
    (d) => pipelineOf(d, [layoutOf(d, entry(0, 'read-only-storage'), entry(1, 'storage'), entry(2, 'uniform'))]),
  ],
  ['empty bind groups need not be set', (d) => {
    const group = groupOf(d, affineLayout(d), { buffer: buffer(d, STORAGE) }, { buffer: buffer(d, STORAGE) })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [affineLayout(d), layoutOf(d)]))
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
  }],
  ['dynamic offsets on their alignment', (d) => {
    const layout = affineLayout(d, { hasDynamicOffset: true })
    const group = groupOf(d, layout, { buffer: buffer(d, STORAGE), size: 256 }, {
      buffer: buffer(d, STORAGE),
      size: 256,
    })
    inPass(d, (pass) => {
      pass.setPipeline(pipelineOf(d, [layout]))
      pass.setBindGroup(0, group, [0, 768])
      pass.dispatchWorkgroups(1)
    })
  }],
]

describe('on the embedded device', () => {
  let device: CpuDevice
  beforeAll(async () => {
    device = await embedded({ threads: 1 }, { requiredFeatures: ['timestamp-query'] })
  })
  test.each(wrong)('%s is an error', async (_, program, message) => {
    expect(await problemOf(device, program)).toMatch(message)
  })
  test.each(right)('%s is no error', async (_, program) => {
    expect(await problemOf(device, program)).toBeNull()
  })
})

describe.skipIf(noDawn !== '')('on dawn', () => {
  let device: GPUDevice
  beforeAll(async () => {
    device = await native({ requiredFeatures: ['timestamp-query'] })
  })
  afterAll(() => device.destroy())
  test.each(wrong)('%s is an error', async (_, program) => {
    expect(await problemOf(device, program)).toEqual(expect.any(String))
  })
  test.each(right)('%s is no error', async (_, program) => {
    expect(await problemOf(device, program)).toBeNull()
  })
})

// Every part of the embedded device's interface, used as a program would use it.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createCpuGpu, type CpuDevice } from '../../../src/cpu/index.ts'
import { affine, embedded, inPass, readWords, setUp, usage, wordsBuffer } from '../../support/gpus.ts'

const ramp = (n: number): Uint32Array<ArrayBuffer> => Uint32Array.from({ length: n }, (_, i) => i)

describe('adapter', () => {
  test('says who it is, and offers features and limits', async () => {
    const adapter = (await createCpuGpu({ threads: 1 }).requestAdapter())!
    expect(adapter.info.vendor).toBe('espalier')
    expect(adapter.info.architecture).toMatch(/^wasm-simd(-256)?$/)
    expect(adapter.info.description).toMatch(/1 thread on \S/)
    expect([...adapter.features]).toContain('timestamp-query')
    expect(adapter.limits.maxBufferSize).toBeGreaterThan(2 ** 31)
    expect(adapter.limits.maxComputeWorkgroupsPerDimension).toBe(65535)
  })

  test('gives default limits unless more is asked for', async () => {
    const device = await embedded({ threads: 1 })
    expect(device.limits.maxStorageBufferBindingSize).toBe(128 << 20)
    expect(device.limits.minStorageBufferOffsetAlignment).toBe(256)
    const large = await embedded({ threads: 1 }, {
      requiredLimits: { maxBufferSize: 2 ** 31, minStorageBufferOffsetAlignment: 64 },
    })
    expect(large.limits.maxBufferSize).toBe(2 ** 31)
    expect(large.limits.minStorageBufferOffsetAlignment).toBe(64)
  })

  test('refuses limits and features it has not got, and a second device', async () => {
    const gpu = createCpuGpu({ threads: 1 })
    const adapter = (await gpu.requestAdapter())!
    await expect(adapter.requestDevice({ requiredLimits: { maxBufferSize: 2 ** 40 } })).rejects.toThrow(
      /maxBufferSize 1099511627776/,
    )
    await expect(adapter.requestDevice({ requiredLimits: { maxFoo: 1 } })).rejects.toThrow(/maxFoo/)
    await expect(adapter.requestDevice({ requiredFeatures: ['texture-compression-bc'] })).rejects.toThrow(
      /texture-compression-bc/,
    )
    await adapter.requestDevice()
    await expect(adapter.requestDevice()).rejects.toThrow(/already/)
  })

  test('reads ESPALIER_THREADS and refuses nonsense', async () => {
    vi.stubEnv('ESPALIER_THREADS', '3')
    expect((await embedded()).threads).toBe(3)
    vi.stubEnv('ESPALIER_THREADS', 'many')
    await expect(embedded()).rejects.toThrow(/ESPALIER_THREADS.*many/)
    vi.unstubAllEnvs()
    await expect(embedded({ threads: 0 })).rejects.toThrow(/from 1 to 256, got 0/)
  })
})

describe.each([1, 2])('device with %i threads', (threads) => {
  let device: CpuDevice
  beforeAll(async () => {
    device = await embedded({ threads }, { requiredFeatures: ['timestamp-query'] })
    device.onuncapturederror = (event) => {
      throw new Error(event.error.message)
    }
  })
  afterAll(() => device.destroy())

  test('runs a kernel', async () => {
    const x = wordsBuffer(device, ramp(1000)), y = wordsBuffer(device, new Uint32Array(1000))
    const bind = setUp(device, affine, [x, y])
    inPass(device, (pass) => {
      bind(pass)
      pass.dispatchWorkgroups(Math.ceil(1000 / 64))
    })
    expect(await readWords(device, y)).toEqual(ramp(1000).map((value) => value * 3 + 1))
  })

  test('runs dispatches of a pass in order, each after the one before', async () => {
    const a = wordsBuffer(device, ramp(1 << 16)), b = wordsBuffer(device, new Uint32Array(1 << 16))
    const there = setUp(device, affine, [a, b]), back = setUp(device, affine, [b, a])
    inPass(device, (pass) => {
      for (let i = 0; i < 4; i++) {
        there(pass)
        pass.dispatchWorkgroups(1024)
        back(pass)
        pass.dispatchWorkgroups(1024)
      }
    })
    const eight = (value: number): number => {
      for (let i = 0; i < 8; i++) value = (Math.imul(value, 3) + 1) >>> 0
      return value
    }
    expect(await readWords(device, a)).toEqual(ramp(1 << 16).map(eight))
  })

  test('takes the size of a dispatch from a buffer', async () => {
    const x = wordsBuffer(device, ramp(640)), y = wordsBuffer(device, new Uint32Array(640))
    const sizes = device.createBuffer({ size: 28, usage: usage.INDIRECT | usage.COPY_DST })
    device.queue.writeBuffer(sizes, 0, new Uint32Array([9, 9, 9, 9, 2, 1, 1]))
    const bind = setUp(device, affine, [x, y])
    inPass(device, (pass) => {
      bind(pass)
      pass.dispatchWorkgroupsIndirect(sizes, 16)
    })
    expect(await readWords(device, y)).toEqual(ramp(640).map((value) => value < 128 ? value * 3 + 1 : 0))
  })

  test('an indirect size over the limit, or zero, dispatches nothing', async () => {
    const x = wordsBuffer(device, ramp(64)), y = wordsBuffer(device, new Uint32Array(64))
    const sizes = device.createBuffer({ size: 24, usage: usage.INDIRECT | usage.COPY_DST })
    device.queue.writeBuffer(sizes, 0, new Uint32Array([65536, 1, 1, 1, 0, 1]))
    const bind = setUp(device, affine, [x, y])
    inPass(device, (pass) => {
      bind(pass)
      pass.dispatchWorkgroupsIndirect(sizes, 0)
      pass.dispatchWorkgroupsIndirect(sizes, 12)
    })
    expect(await readWords(device, y)).toEqual(new Uint32Array(64))
  })

  test('dynamic offsets move bindings, in order of binding numbers', async () => {
    const data = wordsBuffer(device, ramp(256)), out = wordsBuffer(device, new Uint32Array(256))
    const layout = device.createBindGroupLayout({
      entries: [
        { binding: 1, visibility: 4, buffer: { type: 'storage', hasDynamicOffset: true } },
        { binding: 0, visibility: 4, buffer: { type: 'read-only-storage', hasDynamicOffset: true, minBindingSize: 4 } },
      ],
    })
    const pipeline = device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code: affine }), entryPoint: 'main' },
    })
    const group = device.createBindGroup({
      layout,
      entries: [
        { binding: 0, resource: { buffer: data, size: 256 } },
        { binding: 1, resource: { buffer: out, size: 256 } },
      ],
    })
    inPass(device, (pass) => {
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, group, [256, 512])
      pass.dispatchWorkgroups(1)
      pass.setBindGroup(0, group, new Uint32Array([7, 512, 0, 7]), 1, 2)
      pass.dispatchWorkgroups(1)
    })
    const words = await readWords(device, out)
    expect([...words.subarray(128, 192)]).toEqual([...ramp(64)].map((i) => (64 + i) * 3 + 1))
    expect([...words.subarray(0, 64)]).toEqual([...ramp(64)].map((i) => (128 + i) * 3 + 1))
  })

  test('a binding ends where its size says', async () => {
    const x = wordsBuffer(device, ramp(256)), y = wordsBuffer(device, new Uint32Array(256))
    const pipeline = device.createComputePipeline({
      layout: 'auto',
      compute: { module: device.createShaderModule({ code: affine }) },
    })
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [
        { binding: 0, resource: { buffer: x, offset: 256 } },
        { binding: 1, resource: { buffer: y, offset: 512, size: 40 } },
      ],
    })
    inPass(device, (pass) => {
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(4)
    })
    expect(await readWords(device, y)).toEqual(ramp(256).map((i) => i >= 128 && i < 138 ? (64 + i - 128) * 3 + 1 : 0))
  })

  test('createComputePipelineAsync gives a pipeline that works, or rejects', async () => {
    const module = device.createShaderModule({ code: affine })
    const pipeline = await device.createComputePipelineAsync({
      label: 'affine',
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    })
    const x = wordsBuffer(device, ramp(64)), y = wordsBuffer(device, new Uint32Array(64))
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: x } }, { binding: 1, resource: { buffer: y } }],
    })
    inPass(device, (pass) => {
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
    expect((await readWords(device, y))[63]).toBe(190)
    const layout = device.createPipelineLayout({ bindGroupLayouts: [] })
    const failure = await device.createComputePipelineAsync({ label: 'affine', layout, compute: { module } }).catch((
      error: unknown,
    ) => error)
    expect(failure).toMatchObject({
      name: 'GPUPipelineError',
      reason: 'validation',
      message: expect.stringContaining('affine'),
    })
  })

  test('writeBuffer takes views, element offsets and byte offsets', async () => {
    const buffer = wordsBuffer(device, new Uint32Array(8))
    device.queue.writeBuffer(buffer, 4, ramp(8), 2, 2)
    device.queue.writeBuffer(buffer, 16, ramp(8).buffer, 20, 4)
    device.queue.writeBuffer(buffer, 24, new DataView(ramp(8).buffer, 24, 8), 4)
    expect([...await readWords(device, buffer)]).toEqual([0, 2, 3, 0, 5, 0, 7, 0])
    expect(() => device.queue.writeBuffer(buffer, 0, ramp(8), 7, 2)).toThrow(/bytes 28..36/)
    expect(() => device.queue.writeBuffer(buffer, 0, new Uint8Array(3))).toThrow(/multiple of 4/)
  })

  test('mapping at creation, writing by map, clearing and copying', async () => {
    const created = device.createBuffer({ size: 16, usage: usage.COPY_SRC, mappedAtCreation: true })
    expect(created.mapState).toBe('mapped')
    const range = created.getMappedRange(8, 8)
    new Uint32Array(range).set([7, 8])
    created.unmap()
    expect(range.byteLength).toBe(0)
    expect([...await readWords(device, created)]).toEqual([0, 0, 7, 8])

    const staging = device.createBuffer({ size: 16, usage: usage.MAP_WRITE | usage.COPY_SRC })
    const pending = staging.mapAsync(2, 8)
    expect(staging.mapState).toBe('pending')
    await pending
    new Uint32Array(staging.getMappedRange(8)).set([1, 2])
    staging.unmap()
    const target = wordsBuffer(device, ramp(8).map(() => 5))
    const encoder = device.createCommandEncoder()
    encoder.copyBufferToBuffer(staging, 8, target, 0, 8)
    encoder.clearBuffer(target, 8, 4)
    encoder.copyBufferToBuffer(created, 8, target, 24)
    device.queue.submit([encoder.finish()])
    expect([...await readWords(device, target)]).toEqual([1, 2, 0, 5, 5, 5, 7, 8])
  })

  test('mapped ranges must be disjoint, aligned and inside', async () => {
    const buffer = device.createBuffer({ label: 'staging', size: 64, usage: usage.MAP_READ | usage.COPY_DST })
    expect(() => buffer.getMappedRange()).toThrow(/"staging"\] is not mapped/)
    await buffer.mapAsync(1, 16, 32)
    expect(() => buffer.getMappedRange(0, 8)).toThrow(/outside/)
    expect(() => buffer.getMappedRange(20, 8)).toThrow(/multiple of 8/)
    expect(buffer.getMappedRange(16, 8).byteLength).toBe(8)
    expect(() => buffer.getMappedRange(16, 16)).toThrow(/overlaps/)
    expect(buffer.getMappedRange(24, 24).byteLength).toBe(24)
    buffer.unmap()
    expect(buffer.mapState).toBe('unmapped')
  })

  test('unmap and destroy cancel a pending map', async () => {
    const buffer = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST })
    const first = buffer.mapAsync(1)
    buffer.unmap()
    await expect(first).rejects.toMatchObject({ name: 'AbortError' })
    const second = buffer.mapAsync(1)
    buffer.destroy()
    await expect(second).rejects.toMatchObject({ name: 'AbortError' })
    expect(buffer.mapState).toBe('unmapped')
  })

  test('promises are fulfilled in order, in a later turn of the event loop', async () => {
    const order: string[] = []
    const buffer = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST })
    const all = [
      device.queue.onSubmittedWorkDone().then(() => order.push('done')),
      buffer.mapAsync(1).then(() => order.push('mapped')),
      device.queue.onSubmittedWorkDone().then(() => order.push('done again')),
      Promise.resolve().then(() => order.push('microtask')),
    ]
    await Promise.all(all)
    expect(order).toEqual(['microtask', 'done', 'mapped', 'done again'])
  })

  test('timestamps around passes', async () => {
    const set = device.createQuerySet({ type: 'timestamp', count: 4 })
    const x = wordsBuffer(device, ramp(1 << 18)), y = wordsBuffer(device, new Uint32Array(1 << 18))
    const bind = setUp(device, affine, [x, y])
    const resolved = device.createBuffer({ size: 256 + 24, usage: usage.QUERY_RESOLVE | usage.COPY_SRC })
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet: set, beginningOfPassWriteIndex: 1, endOfPassWriteIndex: 2 },
    })
    bind(pass)
    pass.dispatchWorkgroups(4096)
    pass.end()
    encoder.resolveQuerySet(set, 1, 3, resolved, 256)
    device.queue.submit([encoder.finish()])
    const [begin, end, unwritten] = new BigUint64Array((await readWords(device, resolved)).buffer, 256, 3)
    expect(end).toBeGreaterThan(begin)
    expect(Number(end - begin) / 1e9).toBeLessThan(60)
    expect(unwritten).toBe(0n)
  })

  test('new memory is zero, also where other buffers were', async () => {
    for (let round = 0; round < 3; round++) {
      const buffer = wordsBuffer(device, ramp(5000).map(() => 0xffffffff))
      buffer.destroy()
      const fresh = device.createBuffer({ size: 12_000, usage: usage.COPY_SRC })
      expect((await readWords(device, fresh)).every((word) => word === 0)).toBe(true)
      fresh.destroy()
    }
  })
})

describe('errors', () => {
  test('scopes nest and take their kind, others reach uncapturederror', async () => {
    const device = await embedded({ threads: 1, memoryLimit: 1 << 20 })
    const seen: string[] = []
    device.addEventListener('uncapturederror', (event) => seen.push((event as GPUUncapturedErrorEvent).error.message))
    device.pushErrorScope('out-of-memory')
    device.pushErrorScope('validation')
    device.createBuffer({ label: 'useless', size: 4, usage: 0 })
    device.createBuffer({ label: 'second', size: 4, usage: 0 })
    const inner = await device.popErrorScope()
    expect(inner?.constructor.name).toBe('GPUValidationError')
    expect(inner?.message).toContain('"useless"')
    device.createBuffer({ label: 'no scope of its kind', size: 4, usage: 0 })
    expect(await device.popErrorScope()).toBeNull()
    expect(seen).toHaveLength(1)
    expect(seen[0]).toContain('no scope of its kind')
    await expect(device.popErrorScope()).rejects.toMatchObject({ name: 'OperationError' })
  })

  test('an error nobody listens for is printed', async () => {
    const device = await embedded({ threads: 1 })
    const print = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    device.createBuffer({ label: 'useless', size: 4, usage: 0 })
    await device.queue.onSubmittedWorkDone()
    expect(print.mock.calls.flat().join()).toContain('"useless"')
    print.mockRestore()
  })

  test('shader mistakes come with line and column, and poison pipelines', async () => {
    const device = await embedded({ threads: 1 })
    device.pushErrorScope('validation')
    const module = device.createShaderModule({
      label: 'broken',
      code: '@compute @workgroup_size(1)\nfn main() {\n  let x = y;\n}',
    })
    expect((await device.popErrorScope())?.message).toContain('broken:3:11')
    const { messages } = await module.getCompilationInfo()
    expect(messages[0]).toMatchObject({ type: 'error', lineNum: 3, linePos: 11, offset: 50 })
    device.pushErrorScope('validation')
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } })
    expect((await device.popErrorScope())?.message).toContain('[Invalid ShaderModule "broken"]')
    device.pushErrorScope('validation')
    inPass(device, (pass) => {
      pass.setPipeline(pipeline)
      pass.dispatchWorkgroups(1)
    })
    expect((await device.popErrorScope())?.message).toContain('Invalid ComputePipeline')
  })

  test('memory ends with an out-of-memory error that says how much was in use', async () => {
    const device = await embedded({ threads: 1, memoryLimit: 8 << 20 })
    const kept = device.createBuffer({ size: 5 << 20, usage: usage.COPY_DST })
    device.pushErrorScope('out-of-memory')
    const buffer = device.createBuffer({ label: 'weights', size: 4 << 20, usage: usage.COPY_DST | usage.COPY_SRC })
    const error = await device.popErrorScope()
    expect(error?.constructor.name).toBe('GPUOutOfMemoryError')
    expect(error?.message).toMatch(/"weights"\] of 4194304 bytes does not fit: \d+ of 8388608 bytes/)
    device.pushErrorScope('validation')
    device.queue.writeBuffer(buffer, 0, ramp(4))
    expect((await device.popErrorScope())?.message).toContain('[Invalid Buffer "weights"] is invalid')
    expect(() => device.createBuffer({ size: 4 << 20, usage: usage.COPY_DST, mappedAtCreation: true })).toThrow(
      RangeError,
    )
    kept.destroy()
    device.pushErrorScope('out-of-memory')
    device.createBuffer({ size: 4 << 20, usage: usage.COPY_DST })
    expect(await device.popErrorScope()).toBeNull()
  })

  test('the last bytes below 4 GiB can be addressed, and not one more', async () => {
    const device = await embedded({ threads: 1 }, { requiredLimits: { maxBufferSize: 2 ** 32 - 2 ** 17 } })
    device.pushErrorScope('out-of-memory')
    const whole = device.createBuffer({ size: 2 ** 32 - 2 ** 17, usage: usage.COPY_DST | usage.COPY_SRC })
    expect(await device.popErrorScope()).toBeNull()
    device.queue.writeBuffer(whole, 2 ** 32 - 2 ** 17 - 8, new Uint32Array([11, 12]))
    const end = device.createBuffer({ size: 8, usage: usage.COPY_DST | usage.MAP_READ })
    const encoder = device.createCommandEncoder()
    encoder.copyBufferToBuffer(whole, 2 ** 32 - 2 ** 17 - 8, end, 0, 8)
    device.queue.submit([encoder.finish()])
    await end.mapAsync(1)
    expect([...new Uint32Array(end.getMappedRange())]).toEqual([11, 12])
    device.pushErrorScope('out-of-memory')
    device.createBuffer({ size: 1 << 20, usage: usage.COPY_DST })
    expect((await device.popErrorScope())?.message).toContain('4 GiB')
    device.destroy()
  })
})

describe('loss', () => {
  test('destroy resolves lost, ends mappings and silences everything after', async () => {
    const device = await embedded({ threads: 2 })
    const x = wordsBuffer(device, ramp(64)), y = wordsBuffer(device, ramp(64))
    const bind = setUp(device, affine, [x, y])
    const staging = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST })
    const pending = staging.mapAsync(1).catch((error: unknown) => error)
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    bind(pass)
    pass.dispatchWorkgroups(1)
    pass.end()
    const commands = encoder.finish()
    device.destroy()
    device.destroy()
    expect(await device.lost).toMatchObject({ reason: 'destroyed' })
    expect(await pending).toMatchObject({ name: 'AbortError' })
    await expect(staging.mapAsync(1)).rejects.toMatchObject({ name: 'OperationError' })
    device.pushErrorScope('validation')
    device.queue.submit([commands])
    device.queue.writeBuffer(x, 0, ramp(4))
    device.createBuffer({ size: 4, usage: 0 })
    expect(await device.popErrorScope()).toBeNull()
    await device.queue.onSubmittedWorkDone()
  })

  test('graphics is refused by name', async () => {
    const device = await embedded({ threads: 1 })
    expect(() => device.createTexture({ size: [1], format: 'r32float', usage: 1 })).toThrow(
      /createTexture: the embedded device computes only/,
    )
  })
})

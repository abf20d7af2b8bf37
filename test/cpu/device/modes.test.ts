// Debug modes as a program sees them: findings become errors that name kernel, line and index.
import { describe, expect, test } from 'vitest'
import { embedded, inPass, readWords, setUp, usage, wordsBuffer } from '../../support/gpus.ts'

const offByOne = `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x + 1u] = id.x;
}`

const missingBarrier = `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> shared_words: array<u32, 8>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) i: u32) {
  shared_words[i] = i;
  y[i] = shared_words[7u - i];
}`

const nanSource = `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x] = sqrt(x[id.x]);
}`

describe('debug modes', () => {
  test('bounds: an index beyond the end, with its line, as an uncaptured error too', async () => {
    const device = await embedded({ mode: 'bounds', threads: 2 })
    expect(device.threads).toBe(1)
    const messages: string[] = []
    device.onuncapturederror = (event) => messages.push(event.error.message)
    const y = wordsBuffer(device, new Uint32Array(8))
    const module = device.createShaderModule({ code: offByOne })
    const pipeline = device.createComputePipeline({ label: 'shift', layout: 'auto', compute: { module } })
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: y } }],
    })
    inPass(device, (pass) => {
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, group)
      pass.dispatchWorkgroups(1)
    })
    expect(device.takeFindings()).toMatchObject([{
      kind: 'bounds',
      kernel: 'shift',
      line: 4,
      count: 1,
      message: expect.stringMatching(/^shift: line 4: index 8 is out of bounds, there are 8 elements/),
    }])
    expect(device.takeFindings()).toEqual([])
    // what the store does instead is WebGPU's choice, but it stays inside the buffer
    expect([...(await readWords(device, y)).subarray(1, 7)]).toEqual([0, 1, 2, 3, 4, 5])
    expect(messages).toHaveLength(1)
    expect(messages[0]).toContain('shift: line 4: index 8')
  })

  test('race: a missing barrier', async () => {
    const device = await embedded({ mode: 'race' })
    device.onuncapturederror = () => undefined
    const y = wordsBuffer(device, new Uint32Array(8))
    const bind = setUp(device, missingBarrier, [y])
    inPass(device, (pass) => {
      bind(pass)
      pass.dispatchWorkgroups(1)
    })
    const findings = device.takeFindings()
    expect(findings.length).toBeGreaterThan(0)
    expect(findings[0].kind).toBe('race')
    expect(findings.map((finding) => finding.message).join()).toMatch(/line 6: race: word \d of shared_words/)
  })

  test('nan: where the first one was made', async () => {
    const device = await embedded({ mode: 'nan' })
    device.onuncapturederror = () => undefined
    const x = wordsBuffer(device, new Uint32Array(new Float32Array([1, 4, 9, -1, 16, -2, 25, 36]).buffer))
    const y = device.createBuffer({ size: 32, usage: usage.STORAGE | usage.COPY_SRC })
    const bind = setUp(device, nanSource, [x, y])
    inPass(device, (pass) => {
      bind(pass)
      pass.dispatchWorkgroups(1)
    })
    expect(device.takeFindings()[0]).toMatchObject({
      kind: 'nan',
      line: 5,
      message: expect.stringMatching(/word 3 of y/),
    })
  })

  test('a kernel without faults gives no findings in any mode', async () => {
    for (const mode of ['bounds', 'race', 'nan', 'permuted', 'deterministic'] as const) {
      const device = await embedded({ mode })
      const x = wordsBuffer(device, new Uint32Array(new Float32Array([1, 4, 9, 1, 16, 4, 25, 36]).buffer)),
        y = wordsBuffer(device, new Uint32Array(8))
      const bind = setUp(device, nanSource, [x, y])
      inPass(device, (pass) => {
        bind(pass)
        pass.dispatchWorkgroups(1)
      })
      expect([...new Float32Array((await readWords(device, y)).buffer)]).toEqual([1, 2, 3, 1, 4, 2, 5, 6])
      expect(device.takeFindings()).toEqual([])
      device.destroy()
    }
  })
})

// Errors must be loud: nothing is ever silently zero.
import { afterEach, expect, test } from 'vitest'
import { AdapterError, DeviceError, DeviceLostError, DTypeError, FreedError, KernelError,
  ShapeError } from '../../src/base/errors.ts'
import { full, zeros } from '../../src/core/fill.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { kernelFromText } from '../../src/gpu/kernel.ts'
import { deviceTime } from '../../src/gpu/timing.ts'
import { launch } from '../../src/core/launch.ts'
import { empty, tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import { describeDawn } from '../support/dawn.ts'
import { describeDevice } from '../support/device.ts'

const text = (body: string) => `
struct Params { size: u32, by: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
override WIDTH: u32 = 64;
@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) id: vec3u) {
  ${body}
}`
const names = { buffers: ['x', 'y'], params: ['size', 'by'] }
const good = kernelFromText('good.wgsl', text('if (id.x < p.size) { y[id.x] = x[id.x] * p.by; }'), names)

describeDevice('kernels and launches', () => {
  test('a kernel runs, its variants too, and batches into one submit', async () => {
    const x = tensor([1, 2, 3]), y = zeros([3])
    gpu().launches.flush()
    const { submits } = gpu().launches.counts
    launch(good, { x, y }, { size: 3, by: 2 }, [1])
    launch(good, { x, y }, { size: 3, by: 3 }, [1], { overrides: { WIDTH: 32 } })
    expect([...await y.data()]).toEqual([3, 6, 9])
    expect(gpu().launches.counts.submits).toBe(submits + 1)
  })

  test('names that differ from the WGSL are refused at first use', () => {
    const x = tensor([1]), y = zeros([1])
    const wrong = kernelFromText('names.wgsl', text('y[0] = x[0] * p.by;'), {
      buffers: ['x', 'out'],
      params: ['size', 'by'],
    })
    expect(() => {
      launch(wrong, { x, out: y }, { size: 1, by: 1 }, [1])
    }).toThrow(/names out, which the WGSL does not use; the WGSL uses y/)
    expect(() => {
      launch(good, { x }, { size: 1, by: 1 }, [1])
    }).toThrow(/needs a buffer 'y'/)
    expect(() => {
      launch(good, { x, y }, { size: 1 }, [1])
    }).toThrow(/needs a parameter 'by'/)
    expect(() => {
      launch(good, { x, y }, { size: 1, by: 1 }, [1], { overrides: { TILE: 4 } })
    }).toThrow(/no override TILE; the file has WIDTH/)
    expect(() => {
      launch(good, { x, y }, { size: 1, by: 1 }, [70000])
    }).toThrow(ShapeError)
  })

  test('one tensor read and written in the same dispatch is refused', () => {
    const x = tensor([1, 2])
    expect(() => {
      launch(good, { x, y: x }, { size: 2, by: 1 }, [1])
    }).toThrow(KernelError)
  })

  test('a steady state allocates nothing and creates no bind group', async () => {
    const step = () => scope(() => full([1000], 1).dispose())
    step()
    const { created } = gpu().pool.memory
    const { bindGroups } = gpu().launches.counts
    for (let i = 0; i < 5; i++) step()
    expect(gpu().pool.memory.created).toBe(created)
    expect(gpu().launches.counts.bindGroups).toBe(bindGroups)
    expect(gpu().pool.memory.peak).toBeGreaterThanOrEqual(gpu().pool.memory.live)
    await gpu().failures.settle()
  })

  test('freed tensors, wrong dtypes and wrong sizes', async () => {
    const x = tensor([1, 2])
    x.dispose()
    await expect(x.data()).rejects.toThrow(FreedError)
    expect(() => {
      tensor([1, 2]).write(new Int32Array(2))
    }).toThrow(DTypeError)
    expect(() => {
      tensor([1, 2]).write(new Float32Array(3))
    }).toThrow(ShapeError)
    expect(() => tensor([[1, 2], [3]])).toThrow(/ragged/)
    expect(() => tensor(new Float32Array(5), [2, 3])).toThrow(/5 values do not fill \[2,3\]/)
    expect(() => empty([2, 0])).toThrow(ShapeError)
    await expect(tensor([1, 2]).item()).rejects.toThrow(/expected one element/)
  })

  test('a read sees everything launched before it, also after a host write', async () => {
    const x = tensor([1, 1]), y = zeros([2])
    launch(good, { x, y }, { size: 2, by: 5 }, [1])
    x.write(Float32Array.of(2, 2))
    expect([...await y.data()]).toEqual([5, 5])
  })

  test('device time of some work', async () => {
    expect(
      await deviceTime(() => {
        full([1 << 16], 1)
      }),
    ).toBeGreaterThanOrEqual(0)
  })

  test('an allocation beyond the limits says what the limit is', () => {
    expect(() => empty([2 ** 31])).toThrow(/this adapter binds at most/)
  })
})

describeDawn('failures', () => {
  afterEach(close)

  test('a syntax error names file, line and text at read-back', async () => {
    await init({ adapter: 'dawn' })
    const broken = kernelFromText('broken.wgsl', text('y[id.x] = x[id.x] * p.by * undefined_name;'), names)
    const y = zeros([1])
    launch(broken, { x: tensor([1]), y }, { size: 1, by: 1 }, [1])
    await expect(y.data()).rejects.toThrow(/broken.wgsl: does not compile, line 9: .*undefined_name/s)
  })

  test('a text that does not parse fails at once', async () => {
    await init({ adapter: 'dawn' })
    const broken = kernelFromText('unparsable.wgsl', text('y[id.x = ;'), names)
    expect(() => {
      launch(broken, { x: tensor([1]), y: zeros([1]) }, { size: 1, by: 1 }, [1])
    }).toThrow(KernelError)
  })

  test('a workgroup beyond the limits is refused when the pipeline is made', async () => {
    await init({ adapter: 'dawn' })
    const y = zeros([1])
    launch(good, { x: tensor([1]), y }, { size: 1, by: 1 }, [1], { overrides: { WIDTH: 65536 } })
    await expect(y.data()).rejects.toThrow(/good.wgsl \[WIDTH=65536\]: does not compile/)
  })

  test('an uncaptured validation error stops the next read', async () => {
    await init({ adapter: 'dawn' })
    const y = zeros([4])
    gpu().device.createBuffer({ size: 16, usage: 0x1 | 0x80 }) // MAP_READ with STORAGE is not allowed
    await expect(y.data()).rejects.toThrow(/the device refused a command/)
  })

  test('a lost device', async () => {
    await init({ adapter: 'dawn' })
    const y = zeros([4])
    await y.data()
    gpu().device.destroy()
    await gpu().device.lost
    await expect(y.data()).rejects.toThrow(DeviceLostError)
  })

  test('an unknown adapter lists those that are here', async () => {
    await expect(init({ adapter: 'no such thing' })).rejects.toThrow(AdapterError)
    await expect(init({ adapter: 'no such thing' })).rejects.toThrow(/here: .+/)
  })

  test('no device before init', async () => {
    await close()
    expect(() => gpu()).toThrow(DeviceError)
    expect(() => tensor([1])).toThrow(/await init\(\)/)
  })
})

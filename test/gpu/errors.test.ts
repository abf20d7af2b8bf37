// An error belongs to the call that made it: what depends on it throws, everything else goes on.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DeviceError, DeviceLostError, KernelError } from '../../src/base/errors.ts'
import { compile } from '../../src/core/compile.ts'
import { full, zeros } from '../../src/core/fill.ts'
import { launch } from '../../src/core/launch.ts'
import { empty, type Tensor, tensor } from '../../src/core/tensor.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { kernelFromText } from '../../src/gpu/kernel.ts'
import { add, mul, relu } from '../../src/ops/elementwise.ts'
import { describeDevice } from '../support/device.ts'

const text = (body: string) => `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
override WIDTH: u32 = 64;
@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) id: vec3u) {
  ${body}
}`
let made = 0
const kernelOf = (body: string) => kernelFromText(`errors-${++made}.wgsl`, text(body), { buffers: ['x', 'y'] })
const broken = [
  ['an unknown name', () => kernelOf('y[id.x] = x[id.x] * nothing;'), {}],
  ['a wrong type', () => kernelOf('y[id.x] = x[id.x] + 1u;'), {}],
  ['a workgroup beyond the limits', () => kernelOf('y[id.x] = x[id.x];'), { WIDTH: 65536 }],
] as const

describeDevice('kernels that do not compile', () => {
  test.each(broken)('%s: its results throw, others do not', async (_, make, overrides) => {
    const kernel = make()
    const x = tensor([1, -2, 3])
    const y = zeros([3])
    const before = relu(x)
    launch(kernel, { x, y }, {}, [1], { overrides })
    const after = add(x, x), spoilt = add(y, x)
    await expect(y.data()).rejects.toThrow(/errors-\d+\.wgsl.*does not compile/)
    await expect(spoilt.data(), 'computed from it').rejects.toThrow(KernelError)
    expect([...await before.data()]).toEqual([1, 0, 3])
    expect([...await after.data()]).toEqual([2, -4, 6])
    expect(() => add(y, x), 'used once more').toThrow(/does not compile/)
    expect(() => {
      launch(kernel, { x, y: before }, {}, [1], { overrides })
    }, 'launched once more').toThrow(/does not compile/)
    y.write(Float32Array.of(5, 6, 7))
    expect([...await add(y, x).data()], 'written anew').toEqual([6, 4, 10])
    for (const each of [x, y, before, after, spoilt]) each.dispose()
  })

  test('a buffer that was freed meanwhile is as good as new', async () => {
    const x = tensor([1, 2, 3, 4, 5]), y = zeros([5])
    launch(kernelOf('y[id.x] = x[id.x] * nothing;'), { x, y }, {}, [1])
    y.dispose()
    const z = full([5], 2) // gets y's buffer
    expect([...await mul(x, z).data()]).toEqual([2, 4, 6, 8, 10])
    await gpu().failures.settle()
  })

  test('inside a capture: the call fails, the next one captures anew', async () => {
    const kernel = kernelOf('y[id.x] = x[id.x] * nothing;')
    let bad = true
    const f = compile((x: Tensor) => {
      const y = relu(x)
      if (bad) launch(kernel, { x, y }, {}, [1])
      return y
    })
    const x = tensor([-1, 2])
    await expect(f(x).data()).rejects.toThrow(/does not compile/)
    expect(() => f(x)).toThrow(/does not compile/)
    bad = false
    expect([...await f(x).data()]).toEqual([0, 2])
    f.clear()
  })
})

describe('memory that runs out on the embedded device', () => {
  const mib = 1 << 20
  beforeEach(async () => {
    await init({ adapter: 'cpu', memoryLimit: 64 * mib, fixedVariants: true })
  })
  afterEach(close)
  const floats = (count: number) => empty([count * mib / 4])

  test('is said at the call, and freeing helps', async () => {
    const { memory } = gpu().pool
    const held = [floats(16), floats(16), floats(16)], { live } = memory
    expect(() => floats(32)).toThrow(DeviceError)
    expect(() => floats(32)).toThrow(/allocating 33554432 bytes: the device has no memory left.*tensors hold 50331648/)
    expect(memory.live).toBe(live)
    held.pop()!.dispose()
    held.pop()!.dispose()
    const next = relu(full([mib / 4], -1)), big = floats(32) // what was kept for reuse is given up for it
    expect((await next.data())[7]).toBe(0)
    for (const each of [...held, next, big]) each.dispose()
  })

  test('in the middle of an op: its temporaries are freed, its arguments stay', async () => {
    const x = full([6 * mib], 2), { live } = gpu().pool.memory // 24 MiB
    const y = relu(x)
    expect(() => relu(y)).toThrow(/the device has no memory left/)
    expect(gpu().pool.memory.live).toBe(2 * live)
    y.dispose()
    expect(gpu().pool.memory.live).toBe(live)
    const z = relu(x)
    x.dispose()
    expect((await z.data())[123], 'there is room for reading as well').toBe(2)
    z.dispose()
    expect(gpu().pool.memory.live).toBe(0)
  })

  test('in a capture, and while reading back', async () => {
    const x = full([5 * mib], 1), f = compile((input: Tensor) => add(relu(input), input)) // 20 MiB each
    const { live } = gpu().pool.memory
    expect(() => f(x)).toThrow(/the device has no memory left/)
    expect(gpu().pool.memory.live).toBe(live)
    const y = relu(x)
    const z = empty([3 * mib])
    await expect(x.data()).rejects.toThrow(/reading back 20971520 bytes: no memory left/)
    y.dispose()
    z.dispose()
    gpu().pool.trim()
    expect((await x.data())[9]).toBe(1)
    x.dispose()
  })
})

describeDevice('memory whose lack is known later', () => {
  // Stands in for a driver that is out of memory: the size is beyond all limits, for buffers of the given size.
  let most = 0
  let createBuffer: GPUDevice['createBuffer']
  beforeAll(() => {
    const { device } = gpu()
    createBuffer = device.createBuffer.bind(device)
    device.createBuffer = (descriptor) => {
      const denied = most > 0 && descriptor.size >= most
      const buffer = createBuffer(denied ? { ...descriptor, size: 2 ** 40 } : descriptor)
      return denied && 'valid' in buffer ? new Proxy(buffer, { get: late }) : buffer
    }
  })
  afterAll(() => {
    gpu().device.createBuffer = createBuffer
  })
  const late = (target: GPUBuffer, key: string | symbol): unknown => Reflect.get(target, key, target)

  test('what depends on it throws, the rest does not, and the books are right', async () => {
    const { memory } = gpu().pool, x = tensor([1, 2]), { live } = memory
    most = 1 << 20
    const attempt = () => {
      const y = empty([1 << 20])
      launch(kernelOf('y[id.x] = x[id.x];'), { x, y }, {}, [1])
      return y.data()
    }
    await expect((async () => attempt())()).rejects.toThrow(/allocating 4194304 bytes: the device has no memory left/)
    most = 0
    expect(memory.live).toBe(live)
    expect([...await add(x, x).data()]).toEqual([2, 4])
    const y = zeros([1 << 20])
    expect((await y.data())[5]).toBe(0)
    for (const each of [x, y]) each.dispose()
  })
})

describe('init while a device is open', () => {
  afterEach(close)

  test('the same options give the same device, and models live on', async () => {
    const first = await init({ adapter: 'cpu', threads: 1 }), x = tensor([1, 2])
    expect(await init({ threads: 1, adapter: 'cpu' })).toBe(first)
    expect([...await x.data()]).toEqual([1, 2])
  })

  test('other options are refused while tensors live, and taken afterwards', async () => {
    const first = await init({ adapter: 'cpu', threads: 1 }), x = tensor([1, 2])
    await expect(init({ adapter: 'cpu', threads: 2 })).rejects.toThrow(
      /is open with other options, and tensors hold 16 bytes/,
    )
    expect(gpu()).toBe(first)
    expect([...await x.data()]).toEqual([1, 2])
    x.dispose()
    expect(await init({ adapter: 'cpu', threads: 2 })).not.toBe(first)
  })

  test('two at once are one', async () => {
    const [first, second] = await Promise.all([init({ adapter: 'cpu' }), init({ adapter: 'cpu' })])
    expect(first).toBe(second)
  })

  test('a lost device says so at every call, and init opens another', async () => {
    const first = await init({ adapter: 'cpu' }), x = tensor([1])
    first.device.destroy()
    await first.device.lost
    await expect(x.data()).rejects.toThrow(DeviceLostError)
    await expect(x.data()).rejects.toThrow(/nothing on it can be used any more/)
    expect(await init({ adapter: 'cpu' })).not.toBe(first)
    expect([...await tensor([3]).data()]).toEqual([3])
  })

  test('an option that does not exist', async () => {
    await expect(init({ adaptor: 'cpu' } as object)).rejects.toThrow(
      /init: no option 'adaptor' \(did you mean adapter\?\)/,
    )
  })
})

// The embedded device by itself: matrix products, row reductions, elementwise passes and empty dispatches, each checked first,
// with one thread and with all, beside dawn's adapter if it is asked for.
//   node dist/bench/cpu-device.js [--dawn] [--only matmul,softmax,..] [--json]
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { createCpuGpu } from '../src/cpu/index.ts'

const STORAGE = 0x80 | 4 | 8, UNIFORM = 0x40 | 8

/** One kernel at one size. */
interface Case {
  name: string
  shape: string
  code: string
  constants?: Record<string, number>
  /** Storage buffers in order of their bindings; the last is written. */
  inputs: Float32Array<ArrayBuffer>[]
  output: number
  params: number[]
  groups: [number, number]
  flops: number
  bytes: number
  /** Largest relative error of the result. */
  check(result: Float32Array): number
}

/** What a case took. */
interface Row { device: string, name: string, shape: string, msMedian: number, msP10: number, gflops: number, gbps: number, maxRelError: number }

const random = (n: number, seed: number): Float32Array<ArrayBuffer> => {
  let state = seed
  return Float32Array.from({ length: n }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1)
}

function relative(result: Float32Array, expected: (i: number) => number, samples: number): number {
  let scale = 1e-6, worst = 0
  for (let s = 0; s < samples; s++) {
    const i = Math.floor(s * (result.length - 1) / Math.max(1, samples - 1)), want = expected(i)
    scale = Math.max(scale, Math.abs(want))
    worst = Math.max(worst, Number.isFinite(result[i]) ? Math.abs(result[i] - want) : Infinity)
  }
  return worst / scale
}

// 64 x 64 outputs per workgroup, 4 x 8 per invocation, K in steps of 32. A is staged transposed, so that the inner loop reads
// one broadcast value per row; B is staged as vec4f. Both stagings also undo power-of-two strides.
const matmulCode = `
struct Params { M: u32, K: u32, N: u32 }
@group(0) @binding(0) var<storage, read> a: array<vec4f>;         // [M, K / 4]
@group(0) @binding(1) var<storage, read> b: array<vec4f>;         // [K, N / 4]
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;   // [M, N / 4]
@group(0) @binding(3) var<uniform> p: Params;
var<workgroup> left: array<f32, 2048>;      // [k][row]
var<workgroup> right: array<vec4f, 512>;    // [k][column / 4]

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = lane % 8u;
  let row = lane / 8u;
  let first_row = group.y * 64u;
  let first_column = group.x * 16u;
  let k4 = p.K / 4u;
  let n4 = p.N / 4u;
  var sum: array<vec4f, 8>;
  for (var k = 0u; k < p.K; k += 32u) {
    for (var s = 0u; s < 4u; s++) {
      let e = lane + s * 128u;
      let r = e / 8u;
      let q = e % 8u;
      var value = vec4f();
      if (first_row + r < p.M && k / 4u + q < k4) { value = a[(first_row + r) * k4 + k / 4u + q]; }
      left[(q * 4u) * 64u + r] = value.x;
      left[(q * 4u + 1u) * 64u + r] = value.y;
      left[(q * 4u + 2u) * 64u + r] = value.z;
      left[(q * 4u + 3u) * 64u + r] = value.w;
    }
    for (var s = 0u; s < 4u; s++) {
      let e = lane + s * 128u;
      let r = e / 16u;
      let q = e % 16u;
      var value = vec4f();
      if (k + r < p.K && first_column + q < n4) { value = b[(k + r) * n4 + first_column + q]; }
      right[e] = value;
    }
    workgroupBarrier();
    for (var t = 0u; t < 32u; t++) {
      let b0 = right[t * 16u + column * 2u];
      let b1 = right[t * 16u + column * 2u + 1u];
      for (var r = 0u; r < 4u; r++) {
        let x = left[t * 64u + row * 4u + r];
        sum[2u * r] += x * b0;
        sum[2u * r + 1u] += x * b1;
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    let y = first_row + row * 4u + r;
    let x = first_column + column * 2u;
    if (y < p.M && x < n4) { c[y * n4 + x] = sum[2u * r]; }
    if (y < p.M && x + 1u < n4) { c[y * n4 + x + 1u] = sum[2u * r + 1u]; }
  }
}`

function matmul(M: number, K: number, N: number): Case {
  const a = random(M * K, 1), b = random(K * N, 2)
  return {
    name: 'matmul', shape: `${M}x${K}x${N}`, code: matmulCode, inputs: [a, b], output: M * N, params: [M, K, N],
    groups: [Math.ceil(N / 64), Math.ceil(M / 64)], flops: 2 * M * K * N, bytes: 4 * (M * K + K * N + M * N),
    check: (result) => relative(result, (i) => {
      const row = Math.floor(i / N), column = i % N
      let sum = 0
      for (let k = 0; k < K; k++) sum += a[row * K + k] * b[k * N + column]
      return sum
    }, 400),
  }
}

// one workgroup per row, 64 invocations with vec4f, tree reductions in workgroup memory
const rowCode = (body: string, write: string): string => `
struct Params { width: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> p: Params;
var<workgroup> partial: array<f32, 64>;
fn total(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}
fn largest(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] = max(partial[lane], partial[lane + half]); }
    workgroupBarrier();
  }
  let most = partial[0];
  workgroupBarrier();
  return most;
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = p.width / 4u;
  let base = group.x * width;
  ${body}
  for (var i = lane; i < width; i += 64u) { ${write} }
}`

const softmaxCode = rowCode(`
  var most = vec4f(-3e38);
  for (var i = lane; i < width; i += 64u) { most = max(most, x[base + i]); }
  let top = largest(lane, max(max(most.x, most.y), max(most.z, most.w)));
  var sum = vec4f();
  for (var i = lane; i < width; i += 64u) { let e = exp(x[base + i] - top); sum += e; y[base + i] = e; }
  let scale = 1.0 / total(lane, sum.x + sum.y + sum.z + sum.w);`, 'y[base + i] *= scale;')

const layernormCode = rowCode(`
  var sum = vec4f();
  for (var i = lane; i < width; i += 64u) { sum += x[base + i]; }
  let mean = total(lane, sum.x + sum.y + sum.z + sum.w) / f32(p.width);
  var square = vec4f();
  for (var i = lane; i < width; i += 64u) { let d = x[base + i] - mean; square += d * d; }
  let rstd = inverseSqrt(total(lane, square.x + square.y + square.z + square.w) / f32(p.width) + 1e-5);`, 'y[base + i] = (x[base + i] - mean) * rstd;')

function rows(name: 'softmax' | 'layernorm', count: number, width: number): Case {
  const x = random(count * width, 3)
  const stats = (row: number): [number, number] => {
    const values = x.subarray(row * width, (row + 1) * width)
    if (name === 'softmax') {
      const top = values.reduce((a, b) => Math.max(a, b), -Infinity)
      return [top, values.reduce((sum, value) => sum + Math.exp(value - top), 0)]
    }
    const mean = values.reduce((a, b) => a + b, 0) / width
    return [mean, values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width]
  }
  return {
    name, shape: `${count}x${width}`, code: name === 'softmax' ? softmaxCode : layernormCode, inputs: [x], output: count * width, params: [width],
    groups: [count, 1], flops: 0, bytes: 8 * count * width,
    check: (result) => relative(result, (i) => {
      const [a, b] = stats(Math.floor(i / width))
      return name === 'softmax' ? Math.exp(x[i] - a) / b : (x[i] - a) / Math.sqrt(b + 1e-5)
    }, 200),
  }
}

const elementwiseCode = (inputs: number, expression: string): string => `
${Array.from({ length: inputs }, (_, i) => `@group(0) @binding(${i}) var<storage, read> ${'ab'[i]}: array<vec4f>;`).join('\n')}
@group(0) @binding(${inputs}) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let i = id.y * grid.x * 256u + id.x;
  if (i < arrayLength(&y)) { y[i] = ${expression}; }
}`

function elementwise(name: string, inputs: number, expression: string, n: number, f: (a: number, b: number) => number): Case {
  const data = Array.from({ length: inputs }, (_, i) => random(n, 4 + i))
  const groups = Math.ceil(n / 1024)
  return {
    name, shape: `n=${n}`, code: elementwiseCode(inputs, expression), inputs: data, output: n, params: [],
    groups: groups <= 65535 ? [groups, 1] : [32768, Math.ceil(groups / 32768)], flops: 0, bytes: 4 * n * (inputs + 1),
    check: (result) => relative(result, (i) => f(data[0][i], data[1]?.[i] ?? 0), 1000),
  }
}

const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(0.7978845608 * (x + 0.044715 * x ** 3)))

const cases: (() => Case)[] = [
  () => matmul(512, 512, 512), () => matmul(1024, 1024, 1024), () => matmul(197, 768, 192), () => matmul(197, 192, 768),
  () => rows('softmax', 2048, 1024), () => rows('layernorm', 2048, 1024),
  () => elementwise('copy', 1, 'a[i]', 1 << 24, (a) => a),
  () => elementwise('add', 2, 'a[i] + b[i]', 1 << 24, (a, b) => Math.fround(a + b)),
  () => elementwise('gelu', 1, '0.5 * a[i] * (1.0 + tanh(0.7978845608 * (a[i] + 0.044715 * a[i] * a[i] * a[i])))', 1 << 22, gelu),
]

const median = (times: number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1]
const p10 = (times: number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 10)]

async function measure(device: GPUDevice, label: string, test: Case): Promise<Row> {
  const buffers = test.inputs.map((data) => {
    const buffer = device.createBuffer({ size: data.byteLength, usage: STORAGE })
    device.queue.writeBuffer(buffer, 0, data)
    return buffer
  })
  const output = device.createBuffer({ size: test.output * 4, usage: STORAGE })
  buffers.push(output)
  if (test.params.length > 0) {
    const uniform = device.createBuffer({ size: 16, usage: UNIFORM })
    device.queue.writeBuffer(uniform, 0, new Uint32Array(test.params))
    buffers.push(uniform)
  }
  const pipeline = await device.createComputePipelineAsync({ label: test.name, layout: 'auto',
    compute: { module: device.createShaderModule({ label: test.name, code: test.code }), constants: test.constants } })
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) })
  const run = async (times: number): Promise<number> => {
    const begin = performance.now()
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...test.groups)
    pass.end()
    device.queue.submit([encoder.finish()])
    await device.queue.onSubmittedWorkDone()
    return (performance.now() - begin) / times
  }
  await run(1)
  const maxRelError = test.check(await read(device, output))
  // warm until WebAssembly's optimising tier and the workers are there, then several dispatches a sample
  const until = performance.now() + 300
  let once = await run(1)
  while (performance.now() < until) once = await run(1)
  const times = Math.max(1, Math.min(100, Math.ceil(5 / once)))
  const samples: number[] = []
  const end = performance.now() + 500
  while (samples.length < 5 || performance.now() < end) samples.push(await run(times))
  for (const buffer of buffers) buffer.destroy()
  const ms = median(samples)
  return { device: label, name: test.name, shape: test.shape, msMedian: ms, msP10: p10(samples), gflops: test.flops / ms / 1e6, gbps: test.bytes / ms / 1e6, maxRelError }
}

async function read(device: GPUDevice, buffer: GPUBuffer): Promise<Float32Array> {
  const staging = device.createBuffer({ size: buffer.size, usage: 1 | 8 })
  const encoder = device.createCommandEncoder()
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(1)
  const result = new Float32Array(staging.getMappedRange().slice(0))
  staging.destroy()
  return result
}

/** Microseconds per dispatch of a kernel that does next to nothing, many in one pass. */
async function dispatchCost(device: GPUDevice): Promise<number> {
  const code = '@group(0) @binding(0) var<storage, read_write> y: array<u32>;\n@compute @workgroup_size(1) fn main() { y[0] += 1u; }'
  const buffer = device.createBuffer({ size: 256, usage: STORAGE })
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module: device.createShaderModule({ code }) } })
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] })
  const samples: number[] = []
  for (let sample = 0; sample < 60; sample++) {
    const begin = performance.now()
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
    for (let i = 0; i < 1000; i++) { pass.setPipeline(pipeline); pass.setBindGroup(0, group); pass.dispatchWorkgroups(1) }
    pass.end()
    device.queue.submit([encoder.finish()])
    await device.queue.onSubmittedWorkDone()
    samples.push(performance.now() - begin)
  }
  return median(samples.slice(20))
}

const { values: flags } = parseArgs({ options: { dawn: { type: 'boolean' }, json: { type: 'boolean' }, only: { type: 'string' } } })
const only = flags.only?.split(',')
const table: Row[] = []
const note: Record<string, number> = {}

const source = random(1 << 24, 9), target = new Float32Array(1 << 24)
const copies: number[] = []
for (let i = 0; i < 12; i++) { const begin = performance.now(); target.set(source); copies.push(performance.now() - begin) }
note['TypedArray.set over 64 MB, GB/s'] = 2 * source.byteLength / median(copies) / 1e6

const devices: [string, () => Promise<GPUDevice>][] = [...new Set([1, availableParallelism()])].map((threads) =>
  [`cpu ${threads}`, async () => {
    const adapter = (await createCpuGpu({ threads }).requestAdapter())!
    return adapter.requestDevice({ requiredLimits: { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30 } })
  }])
let dawn: GPU | undefined
if (flags.dawn) {
  devices.push(['dawn', async () => {
    dawn = (await import('webgpu')).create([])
    return (await dawn.requestAdapter())!.requestDevice()
  }])
}
for (const [label, open] of devices) {
  const device = await open()
  device.onuncapturederror = (event) => { console.error(event.error.message); process.exitCode = 1 }
  for (const make of cases) {
    const test = make()
    if (!only || only.includes(test.name)) table.push(await measure(device, label, test))
  }
  if (!only || only.includes('dispatch')) note[`${label}: microseconds per empty dispatch`] = await dispatchCost(device)
  if (label !== 'dawn') device.destroy()
}

if (flags.json) {
  console.log(JSON.stringify({ cpu: cpus()[0].model, rows: table, notes: note }, null, 1))
} else {
  console.log(cpus()[0].model)
  for (const { device, name, shape, msMedian, msP10, gflops, gbps, maxRelError } of table) {
    console.log(`${device.padEnd(6)} ${name.padEnd(10)} ${shape.padEnd(16)} ${msMedian.toFixed(3).padStart(9)} ms (p10 ${msP10.toFixed(3)})`
      + `${gflops > 0 ? `  ${gflops.toFixed(1)} GFLOP/s` : ''}  ${gbps.toFixed(1)} GB/s  error ${maxRelError.toExponential(1)}`)
  }
  for (const [name, value] of Object.entries(note)) console.log(`${name}: ${value.toFixed(2)}`)
}
// dawn keeps the process alive
if (dawn) process.exit()

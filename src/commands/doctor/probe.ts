// Which adapters dawn finds on this machine. It asks in a child process with a time limit, because a broken driver can
// abort the process that loads it, or hang it.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { pathToFileURL } from 'node:url'

/**
 * One adapter as dawn describes it; `works` is null when a small computation on it gave the right numbers, else what
 * went wrong.
 */
export interface DawnAdapter {
  /** The driver's own name for it, which `--adapter` is matched against. */
  name: string
  backend: string
  vendor: string
  architecture: string
  device: string
  /** Driver and version where the driver tells. */
  description: string
  /** True for adapters that compute on the CPU, such as llvmpipe and SwiftShader. */
  software: boolean
  features: string[]
  limits: Record<string, number>
  subgroupSizes: [number, number] | null
  failure: string | null
}

/** What the search found, and what there is to learn where it found nothing. */
export interface DawnProbe {
  adapters: DawnAdapter[]
  /** Lines that dawn and the Vulkan loader wrote while they searched. */
  messages: string[]
  /** Set when the search itself crashed, hung or could not load dawn. */
  failure: string | null
}

// Text and not a function, because it runs the same from dist/, from a test and from unbuilt TypeScript. An adapter
// name that cannot exist makes dawn list all that do. Each adapter is a line of its own, so that a crash keeps those
// before it.
const script = `
const { writeSync } = await import('node:fs')
const put = (value) => writeSync(1, JSON.stringify(value) + '\\n')
const { create, globals } = await import(process.argv[1]).catch((error) => {
  put({ broken: String(error.message ?? error).split('\\n')[0] })
  process.exit(1)
})
Object.assign(globalThis, globals)
const kept = []
const open = (flags) => { const gpu = create(flags); kept.push(gpu); return gpu }
const listed = await open(['adapter=\\u0001']).requestAdapter().then(() => '', (error) => error.message)
const found = [...listed.matchAll(/backend: '([^']*)', name: '([^\\n]*)'/g)]
  .map(([, backend, name]) => ({ backend, name }))
const seen = new Set()
for (const { backend, name } of found) {
  if (backend === 'null' || seen.has(backend + name)) continue
  seen.add(backend + name)
  put({ asking: name })
  const adapter = await open(['backend=' + backend, 'adapter=' + name]).requestAdapter().catch(() => null)
  if (!adapter) continue
  const { vendor, architecture, device, description, isFallbackAdapter: software } = adapter.info
  const { subgroupMinSize, subgroupMaxSize } = adapter.info
  const limits = {}
  for (const key in adapter.limits) if (typeof adapter.limits[key] === 'number') limits[key] = adapter.limits[key]
  const features = [...adapter.features].sort()
  const subgroupSizes = features.includes('subgroups') ? [subgroupMinSize, subgroupMaxSize] : null
  const failure = await compute(adapter).catch((error) => String(error.message ?? error))
  const sizes = { features, limits, subgroupSizes }
  put({ name, backend, vendor, architecture, device, description, software, ...sizes, failure })
}
put({ done: true })
process.exit(0)

async function compute(adapter) {
  const device = await adapter.requestDevice()
  kept.push(device)
  device.pushErrorScope('validation')
  const code = '@group(0) @binding(0) var<storage, read_write> x: array<f32>;\\n' +
    '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {' +
    '  x[id.x] = f32(id.x) * 2.0 + 1.0; }'
  const module = device.createShaderModule({ code })
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } })
  const x = device.createBuffer({ size: 1024, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC })
  const read = device.createBuffer({ size: 1024, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  const layout = pipeline.getBindGroupLayout(0)
  const group = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: x } }] })
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline); pass.setBindGroup(0, group); pass.dispatchWorkgroups(4); pass.end()
  encoder.copyBufferToBuffer(x, 0, read, 0, 1024)
  device.queue.submit([encoder.finish()])
  const error = await device.popErrorScope()
  if (error) return error.message
  await read.mapAsync(GPUMapMode.READ)
  const values = new Float32Array(read.getMappedRange())
  const wrong = values.findIndex((value, i) => value !== 2 * i + 1)
  if (wrong < 0) return null
  const is = 'element ' + wrong + ' of a small computation came out as ' + values[wrong]
  return is + ', expected ' + (2 * wrong + 1)
}
`

const noise = /artificially reduced|^\s*at \w+.*\.cpp:\d+|^\s*$/

/** Asks dawn for every adapter it has. Never throws and never takes longer than `timeout` milliseconds. */
export function probeDawn(
  { timeout = 20_000, env = process.env }: { timeout?: number, env?: NodeJS.ProcessEnv } = {},
): Promise<DawnProbe> {
  let dawn: string
  try {
    dawn = pathToFileURL(createRequire(import.meta.url).resolve('webgpu')).href
  } catch {
    return Promise.resolve({ adapters: [], messages: [], failure: 'the npm package `webgpu` is not installed' })
  }
  return new Promise((resolve) => {
    // Vulkan software drivers want a folder of the user's own, which containers often lack.
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, dawn], {
      env: { ...env, XDG_RUNTIME_DIR: env.XDG_RUNTIME_DIR ?? tmpdir(), NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = '', errors = '', late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, timeout)
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk
    })
    const finish = (end: string) => {
      clearTimeout(timer)
      resolve(readProbe(output, errors, late ? `no answer within ${timeout / 1000} s` : end))
    }
    child.on('error', (error) => finish(`the search did not start: ${error.message}`))
    child.on('close', (code, signal) => finish(signal ? `it was ended by ${signal}` : `it ended with code ${code}`))
  })
}

/** Makes sense of what the search printed: complete lines are adapters, the rest is how far it came before `end`. */
export function readProbe(output: string, errors: string, end: string): DawnProbe {
  const adapters: DawnAdapter[] = []
  let asking = '', broken = '', done = false
  for (const line of output.split('\n').slice(0, -1)) {
    let value: DawnAdapter & { asking?: string, broken?: string, done?: boolean }
    try {
      value = JSON.parse(line)
    } catch {
      continue
    } // a driver may print to stdout too
    if (value.done) done = true
    else if (value.broken) broken = value.broken
    else if (value.asking) asking = value.asking
    else if (value.name) adapters.push(value)
  }
  const messages = [
    ...new Set(
      errors.split('\n').filter((line) => !noise.test(line)).map((line) => line.replace(/^Warning: /, '').trim()),
    ),
  ]
  if (broken) return { adapters, messages, failure: `dawn (the npm package webgpu) did not load: ${broken}` }
  const where = asking ? ` while it tried adapter '${asking}'` : ''
  return { adapters, messages, failure: done ? null : `the search for adapters stopped${where}: ${end}` }
}

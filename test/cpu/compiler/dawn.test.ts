// The same tables on dawn: what the embedded device computes and refuses is what another implementation computes and
// refuses.
import { beforeAll, describe, expect, it } from 'vitest'
import { analyse, compile } from '../../../src/cpu/compiler/compile.ts'
import { invalidPrograms, validPrograms } from './invalid-programs.ts'
import { mismatch } from '../../support/program.ts'
import type { Numbers, Program } from '../../support/program.ts'
import { builtinPrograms } from './programs-builtins.ts'
import { constantPrograms } from './programs-constants.ts'
import { languagePrograms } from './programs-language.ts'

let gpu: GPU | undefined // dawn ends the process when this object is collected
let device: GPUDevice | null = null
let reason = ''

beforeAll(async () => {
  process.env.XDG_RUNTIME_DIR ??= '/tmp'
  try {
    gpu = (await import('webgpu')).create([])
    const adapter = await gpu.requestAdapter()
    if (!adapter) reason = 'dawn has no adapter here: install a Vulkan driver such as lavapipe'
    else {device = await adapter.requestDevice({
        requiredFeatures: adapter.features.has('shader-f16') ? ['shader-f16'] : [],
      })}
  } catch (error) {
    reason = `dawn does not start here: ${String(error)}`
  }
})

/** What dawn says against a module: messages of the compiler, or of pipeline creation. */
async function complaints(source: string): Promise<string[]> {
  device!.pushErrorScope('validation')
  const info = await device!.createShaderModule({ code: source }).getCompilationInfo()
  await device!.popErrorScope()
  return info.messages.filter((m) => m.type === 'error').map((m) => m.message)
}

async function runOnDawn(program: Program): Promise<Record<string, Numbers>> {
  const gpuDevice = device!,
    { bindings } = compile(analyse(program.source), { constants: program.constants, sharedMemory: false })
  gpuDevice.pushErrorScope('validation')
  const pipeline = await gpuDevice.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: gpuDevice.createShaderModule({ code: program.source }), constants: program.constants },
  })
  const buffers = new Map<string, GPUBuffer>()
  for (const { name, kind } of bindings) {
    const data = program.inputs[name],
      buffer = gpuDevice.createBuffer({
        size: Math.max(16, data.byteLength),
        usage: (kind === 'uniform' ? 0x40 : 0x80) | 4 | 8,
      })
    gpuDevice.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>)
    buffers.set(name, buffer)
  }
  const encoder = gpuDevice.createCommandEncoder(), pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  for (const group of new Set(bindings.map((b) => b.group))) {
    pass.setBindGroup(
      group,
      gpuDevice.createBindGroup({
        layout: pipeline.getBindGroupLayout(group),
        entries: bindings.filter((b) => b.group === group)
          .map((b) => ({
            binding: b.binding,
            resource: { buffer: buffers.get(b.name)!, size: program.inputs[b.name].byteLength },
          })),
      }),
    )
  }
  pass.dispatchWorkgroups(...(program.groups ?? [1]) as [number])
  pass.end()
  const reads = Object.keys(program.expected).map((name) => {
    const size = buffers.get(name)!.size, staging = gpuDevice.createBuffer({ size, usage: 1 | 8 })
    encoder.copyBufferToBuffer(buffers.get(name)!, 0, staging, 0, size)
    return { name, staging }
  })
  gpuDevice.queue.submit([encoder.finish()])
  const error = await gpuDevice.popErrorScope()
  if (error) throw new Error(error.message)
  const out: Record<string, Numbers> = {}
  for (const { name, staging } of reads) {
    await staging.mapAsync(1)
    const like = program.expected[name]
    out[name] = new (like.constructor as typeof Float32Array)(staging.getMappedRange().slice(0, like.byteLength))
    staging.destroy()
  }
  for (const buffer of buffers.values()) buffer.destroy()
  return out
}

// A software driver takes a fifth of a second to compile a program: every eighth here, all with ESPALIER_LONG=1 (npm
// run test:long).
const chosen = [...builtinPrograms, ...constantPrograms, ...languagePrograms].filter((_, i) =>
  process.env.ESPALIER_LONG || i % 8 === 0
)

describe('dawn computes the same', () => {
  for (const program of chosen) {
    it(program.name, async (context) => {
      if (!device) return context.skip(reason)
      if (program.source.includes('enable f16') && !device.features.has('shader-f16')) {
        return context.skip('this adapter has no shader-f16')
      }
      const out = await runOnDawn(program)
      const wrong = Object.entries(program.expected).flatMap(([name, expected]) =>
        mismatch(out[name], expected, program.ulp, program.abs) ?? []
      )
      if (!program.differs) expect(wrong).toEqual([])
    })
  }
})

describe('dawn refuses the same', () => {
  for (const { name, source, feature } of invalidPrograms) {
    it(name, async (context) => {
      if (!device || !gpu) return context.skip(reason)
      if (feature && gpu.wgslLanguageFeatures.has(feature)) {
        return context.skip(`accepted by the language feature ${feature}`)
      }
      expect(await complaints(source)).not.toEqual([])
    })
  }
})

describe('dawn accepts the same', () => {
  for (const { name, source } of validPrograms) {
    it(name, async (context) => {
      if (!device) return context.skip(reason)
      expect(await complaints(source)).toEqual([])
    })
  }
})

// Runs of one entry point on the embedded device, in each of its debug modes.
import { type CpuDevice, createCpuGpu, type Mode } from '../cpu/index.ts'
import type { Inputs, Setup } from './kernel-inputs.ts'
import type { KernelFinding } from './kernel-finding.ts'

/** Runs one entry point in each debug mode; order mode is a plain run and one in reverse, compared bit by bit. */
export async function runModes(
  text: string,
  file: string,
  entry: string,
  setup: Setup,
  inputs: Inputs,
  timeLimit: number,
): Promise<KernelFinding[]> {
  const findings: KernelFinding[] = []
  const stopped = (message: string | null): boolean => {
    if (message === null) return false
    const at = /the loop at line (\d+)/.exec(message)
    findings.push({
      mode: 'run',
      backend: 'embedded device',
      file,
      kernel: entry,
      line: at && Number(at[1]),
      variable: null,
      index: null,
      count: 1,
      message: message.replace(/^dispatch of .*? workgroups: /s, '').replace(/, or the device a longer.*$/s, ''),
    })
    return true
  }
  const plain = await runOnce('fast', text, entry, setup, inputs, timeLimit)
  if (stopped(plain.problem)) return findings
  for (const mode of ['bounds', 'race', 'nan', 'permuted'] as const) {
    const { device, outputs, problem } = await runOnce(mode, text, entry, setup, inputs, timeLimit)
    if (stopped(problem)) return findings
    for (const { line, variable, index, message, count } of device.takeFindings()) {
      findings.push({
        mode,
        backend: 'embedded device',
        file,
        kernel: entry,
        line,
        variable,
        index,
        count,
        message: message.replace(/^.*?: line \d+: /s, ''),
      })
    }
    // a store that was moved into bounds overwrites a neighbour's, which the other modes would report as a fault of its
    // own
    if (mode === 'bounds' && findings.length) return findings
    if (mode !== 'permuted') continue
    for (const [name, words] of Object.entries(outputs)) {
      const other = plain.outputs[name], index = words.findIndex((word, i) => word !== other[i])
      if (index < 0) continue
      findings.push({
        mode,
        backend: 'embedded device',
        file,
        kernel: entry,
        line: null,
        variable: name,
        index,
        count: words.reduce((sum, word, i) => sum + Number(word !== other[i]), 0),
        message: `word ${index} of ${name} depends on the order of the invocations: ${hex(other[index])}, in reverse ${
          hex(words[index])
        }`,
      })
    }
  }
  return findings
}

const hex = (word: number): string =>
  `0x${word.toString(16).padStart(8, '0')} (${
    Number(new Float32Array(new Uint32Array([word]).buffer)[0].toPrecision(6))
  } as f32)`

/** One run; `problem` says why it did not come to its end, null if it did. */
async function runOnce(
  mode: Mode,
  text: string,
  entry: string,
  { overrides }: Setup,
  { grid, buffers }: Inputs,
  timeLimit: number,
) {
  const adapter = (await createCpuGpu({ threads: 1, mode, timeLimit: timeLimit * 1000 }).requestAdapter())!
  const device = await adapter.requestDevice({ requiredFeatures: ['shader-f16'] as GPUFeatureName[] }) as CpuDevice
  let problem: string | null = null
  // findings come again as errors, of another kind
  device.onuncapturederror = ({ error }) => {
    if (error.constructor.name === 'GPUInternalError') problem ??= error.message
  }
  const pipeline = device.createComputePipeline({
    label: entry,
    layout: 'auto',
    compute: { module: device.createShaderModule({ code: text }), entryPoint: entry, constants: overrides },
  })
  const made = buffers.map(({ binding, bytes }) => {
    const buffer = device.createBuffer({
      label: binding.name,
      size: bytes.length,
      usage: (binding.kind === 'uniform' ? 0x40 : 0x80) | 4 | 8,
    })
    device.queue.writeBuffer(buffer, 0, bytes)
    return { binding, buffer }
  })
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  for (const group of new Set(made.map(({ binding }) => binding.group))) {
    pass.setBindGroup(
      group,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(group),
        entries: made.filter(({ binding }) => binding.group === group).map(({ binding, buffer }) => ({
          binding: binding.binding,
          resource: { buffer },
        })),
      }),
    )
  }
  pass.dispatchWorkgroups(...grid)
  pass.end()
  const written = made.filter(({ binding }) => binding.kind === 'storage').map(({ binding, buffer }) => {
    const staging = device.createBuffer({ size: buffer.size, usage: 1 | 8 })
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size)
    return { name: binding.name, staging }
  })
  device.queue.submit([encoder.finish()])
  const outputs: Record<string, Uint32Array> = {}
  // each call of the kernel has the limit to itself; a grid of many calls has it here
  const late = setTimeout(() => {
    problem ??= `${grid.join(' x ')} workgroups did not end within ${timeLimit} s: give it a smaller grid`
    device.destroy()
  }, timeLimit * 1000)
  try {
    for (const { name, staging } of written) {
      await staging.mapAsync(1)
      outputs[name] = new Uint32Array(staging.getMappedRange().slice(0))
    }
    await device.queue.onSubmittedWorkDone()
  } catch (error) {
    if (problem === null) throw error
  } finally {
    clearTimeout(late)
  }
  device.destroy()
  return { device, outputs, problem: problem as string | null }
}

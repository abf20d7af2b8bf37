// Runs random programs on the embedded device and on dawn and compares; failures come back shrunk.
import { difference, type Fuzzed, fuzzed, render, shrink } from './fuzz.ts'
import type { Numbers } from './program.ts'
import { runKernel } from './runner.ts'

const bindings = ['xu', 'xf', 'ou', 'oi', 'oe', 'os', 'at', 'p']
const likeOutputs = ({ outputs }: Fuzzed, get: (name: string) => ArrayBuffer): Record<string, Numbers> =>
  Object.fromEntries(Object.entries(outputs).map(([name, like]) => [name, new (like.constructor as typeof Float32Array)(get(name))]))

/** The outputs on the embedded device. Throws WgslError if it refuses the program. */
export function onEmbedded(program: Fuzzed, mode: 'fast' | 'permuted' | 'bounds' | 'race' = 'fast') {
  const { out, reports } = runKernel(render(program), { ...program.outputs, ...program.inputs }, { groups: [program.groups], mode, relaxed: mode === 'fast' })
  return { results: likeOutputs(program, (name) => out[name]), reports }
}

/** The outputs on dawn. Rejects if dawn refuses the program. */
export async function onDawn(device: GPUDevice, program: Fuzzed): Promise<Record<string, Numbers>> {
  const module = device.createShaderModule({ code: render(program) })
  device.pushErrorScope('validation')
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } }).finally(() => device.popErrorScope())
  const made: GPUBuffer[] = []
  const create = (size: number, usage: number) => { const buffer = device.createBuffer({ size, usage }); made.push(buffer); return buffer }
  const buffers = bindings.map((name) => {
    const data = program.inputs[name] ?? program.outputs[name], buffer = create(data.byteLength, (name === 'p' ? 0x40 : 0x80) | 4 | 8)
    device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>)
    return buffer
  })
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  const layout = pipeline.getBindGroupLayout(0), text = render(program)
  pass.setBindGroup(0, device.createBindGroup({ layout,
    entries: buffers.flatMap((buffer, binding) => binding === 7 && !/\bp\.(n|m)\b/.test(text.slice(text.indexOf('fn q1'))) ? [] : [{ binding, resource: { buffer } }]) }))
  pass.dispatchWorkgroups(program.groups)
  pass.end()
  const names = Object.keys(program.outputs)
  const staged = names.map((name) => {
    const size = program.outputs[name].byteLength, staging = create(size, 1 | 8)
    encoder.copyBufferToBuffer(buffers[bindings.indexOf(name)], 0, staging, 0, size)
    return staging
  })
  device.queue.submit([encoder.finish()])
  await Promise.all(staged.map((staging) => staging.mapAsync(1)))
  const results = likeOutputs(program, (name) => staged[names.indexOf(name)].getMappedRange().slice(0))
  for (const buffer of made) buffer.destroy()
  return results
}

/** What is wrong with a program: a kind, which shrinking keeps, and the details. Null where both devices agree. */
export async function fault(program: Fuzzed, device: GPUDevice | null): Promise<{ kind: string, detail: string } | null> {
  let mine: ReturnType<typeof onEmbedded>
  try {
    mine = onEmbedded(program)
  } catch (error) {
    return { kind: 'the embedded device refuses', detail: `line ${(error as { line?: number }).line}: ${(error as Error).message}` }
  }
  const reverse = difference(onEmbedded(program, 'permuted').results, mine.results)
  if (reverse) return { kind: 'permuted order', detail: reverse }
  // a quarter of the programs is enough for the modes that only look on
  for (const mode of program.seed % 4 ? [] : ['bounds', 'race'] as const) {
    const checked = onEmbedded(program, mode)
    if (checked.reports.length) return { kind: `${mode} mode reports`, detail: JSON.stringify(checked.reports[0]) }
    const other = difference(checked.results, mine.results)
    if (other) return { kind: `${mode} mode differs`, detail: other }
  }
  if (!device) return null
  try {
    const wrong = difference(mine.results, await onDawn(device, program))
    return wrong === null ? null : { kind: 'the devices differ', detail: wrong }
  } catch (error) {
    return { kind: 'dawn refuses', detail: (error as Error).message.slice(0, 600) }
  }
}

/** Checks the programs of seeds first..last; a failure is shrunk and described with its text. */
export async function hunt(first: number, last: number, device: GPUDevice | null, say: (line: string) => void = () => undefined): Promise<string[]> {
  const failures: string[] = []
  for (let seed = first; seed <= last && failures.length < 5; seed++) {
    if (seed % 100 === 0) say(`program ${seed}`)
    const program = fuzzed(seed), found = await fault(program, device)
    if (!found) continue
    const small = await shrink(program, async (candidate) => (await fault(candidate, device))?.kind === found.kind)
    const now = await fault(small, device)
    failures.push(`seed ${seed}: ${found.kind}: ${now?.detail ?? found.detail}\n${render(small)}`)
  }
  return failures
}

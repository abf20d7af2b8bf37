// Runs random programs on the embedded device and on dawn and compares; failures come back shrunk.
import { difference, type Fuzzed, fuzzed, render, shrink } from './fuzz.ts'
import type { Numbers } from './program.ts'
import { runKernel } from './runner.ts'

const bindings = ['xu', 'xf', 'ou', 'oi', 'oe', 'os', 'at', 'p']
const likeOutputs = ({ outputs }: Fuzzed, get: (name: string) => ArrayBuffer): Record<string, Numbers> =>
  Object.fromEntries(
    Object.entries(outputs).map(([name, like]) => [name, new (like.constructor as typeof Float32Array)(get(name))]),
  )

/** The outputs on the embedded device. Throws WgslError if it refuses the program. */
export function onEmbedded(program: Fuzzed, mode: 'fast' | 'permuted' | 'bounds' | 'race' = 'fast') {
  const { out, reports } = runKernel(render(program), { ...program.outputs, ...program.inputs }, {
    groups: [program.groups],
    mode,
    relaxed: mode === 'fast',
  })
  return { results: likeOutputs(program, (name) => out[name]), reports }
}

/** The outputs on dawn. Rejects if dawn refuses the program. */
export async function onDawn(device: GPUDevice, program: Fuzzed): Promise<Record<string, Numbers>> {
  device.pushErrorScope('validation')
  const compiled = device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code: render(program) }) },
  })
  void device.popErrorScope() // a refusal also rejects the promise
  const pipeline = await compiled
  const made: GPUBuffer[] = []
  const create = (size: number, usage: number) => {
    const buffer = device.createBuffer({ size, usage })
    made.push(buffer)
    return buffer
  }
  const buffers = bindings.map((name) => {
    const data = program.inputs[name] ?? program.outputs[name],
      buffer = create(data.byteLength, (name === 'p' ? 0x40 : 0x80) | 4 | 8)
    device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>)
    return buffer
  })
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  const layout = pipeline.getBindGroupLayout(0), text = render(program)
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout,
      entries: buffers.flatMap((buffer, binding) =>
        binding === 7 && !/\bp\.(n|m)\b/.test(text.slice(text.indexOf('fn q1')))
          ? []
          : [{ binding, resource: { buffer } }]
      ),
    }),
  )
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

/** What dawn made of a program: its outputs, or why it refuses. */
interface Theirs {
  results: Record<string, Numbers> | null
  refusal: string
}

/** Begins a program on dawn, which compiles on threads of its own while this one is busy with the embedded device. */
export const begin = (program: Fuzzed, device: GPUDevice): Promise<Theirs> =>
  onDawn(device, program).then(
    (results) => ({ results, refusal: '' }),
    (error: Error) => ({ results: null, refusal: error.message }),
  )

const nap = new Int32Array(new SharedArrayBuffer(4))

/**
 * Waits for dawn, which asks its driver in every turn of the event loop: a nap in each leaves that core to the driver's
 * compiler.
 */
async function patiently<T>(work: Promise<T>): Promise<T> {
  let waiting = true
  void work.finally(() => {
    waiting = false
  })
  while (waiting) {
    Atomics.wait(nap, 0, 0, 3)
    await new Promise(setImmediate)
  }
  return work
}

/** A difference: its kind, which shrinking keeps, and the details. */
interface Fault {
  kind: string
  detail: string
}

/** What is wrong with a program, null where both devices agree. `theirs`: begun before. */
export async function fault(
  program: Fuzzed,
  device: GPUDevice | null,
  theirs = device && begin(program, device),
): Promise<Fault | null> {
  let mine: ReturnType<typeof onEmbedded>
  try {
    mine = onEmbedded(program)
  } catch (error) {
    return {
      kind: 'the embedded device refuses',
      detail: `line ${(error as { line?: number }).line}: ${(error as Error).message}`,
    }
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
  if (!theirs) return null
  const { results, refusal } = await patiently(theirs)
  if (!results) return { kind: 'dawn refuses', detail: refusal.slice(0, 600) }
  const wrong = difference(mine.results, results)
  return wrong === null ? null : { kind: 'the devices differ', detail: wrong }
}

/** Checks the programs of seeds first..last; a failure is shrunk and described with its text. After five it stops. */
export async function hunt(
  first: number,
  last: number,
  device: GPUDevice | null,
  say: (line: string) => void = () => undefined,
): Promise<string[]> {
  const failures: string[] = [], ahead: { program: Fuzzed, theirs: Promise<Theirs> | null }[] = []
  let next = first
  for (let seed = first; seed <= last && failures.length < 5; seed++) {
    for (; next <= last && next <= seed + 4; next++) {
      const program = fuzzed(next)
      ahead.push({ program, theirs: device && begin(program, device) })
    }
    if (seed % 100 === 0) say(`program ${seed}`)
    const { program, theirs } = ahead.shift()!, found = await fault(program, device, theirs)
    if (!found) continue
    const small = await shrink(program, async (candidate) => (await fault(candidate, device))?.kind === found.kind)
    const now = await fault(small, device)
    failures.push(`seed ${seed}: ${found.kind}: ${now?.detail ?? found.detail}\n${render(small)}`)
  }
  await Promise.all(ahead.map(({ theirs }) => theirs))
  return failures
}

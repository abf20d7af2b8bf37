// `espalier check-kernel`: does a WGSL file compile on every backend at hand, and does it stay in bounds, without races
// and without NaN when it runs?
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import type { CompiledKernel, OverrideInfo } from '../cpu/abi.ts'
import { analyse, compile } from '../cpu/compiler/compile.ts'
import { type CpuDevice, createCpuGpu, type Mode } from '../cpu/index.ts'
import type { Program } from '../cpu/compiler/tree.ts'
import { InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'
import { nameOf } from '../gpu/adapters.ts'
import { assemble } from '../gpu/source.ts'
import { probeDawn } from './doctor/probe.ts'
import { packageVersion } from '../files/package.ts'
import type { CommandSpec, CommonOptions } from './command.ts'
import { type Inputs, makeInputs, readSetups, type Setup } from './kernel-inputs.ts'
import { linesOf, type Opinion, secondOpinion } from './kernel-opinion.ts'

/**
 * What was found: by a compiler (`mode` is `compile`, `backend` says which), by a run that did not end (`run`), by a run
 * in a debug mode, or by wgsl_reflect (`backend` says so), whose reflection or races are others.
 */
export interface KernelFinding {
  mode: 'compile' | 'run' | 'bounds' | 'race' | 'nan' | 'permuted' | 'reflection'
  backend: string
  file: string
  kernel: string
  line: number | null
  column?: number
  variable: string | null
  index: number | null
  message: string
  count: number
}

interface Run {
  entry: string
  grid: number[]
  workgroup: number[]
  buffers: { name: string, type: string, elements: number, bytes: number }[]
}

interface CheckOptions extends CommonOptions {
  entry?: string
  setup?: string
  dawn: boolean
  timeLimit: number
}

/** The command `espalier check-kernel <file.wgsl>`. */
export const checkKernel: CommandSpec<CheckOptions> = {
  name: 'check-kernel',
  summary:
    'compile a WGSL file on every backend at hand, and look for indices out of bounds, races and the origin of a NaN',
  example: 'espalier check-kernel mine.wgsl --time-limit 30',
  declare(command) {
    command.argument(
      '<file.wgsl>',
      'the kernel; a .json of the same name beside it may set grid, sizes, params, values, ranges, overrides, splice, entry',
    )
      .option('--entry <name>', 'check this entry point only')
      .option('--setup <file.json>', 'sizes, parameters and grid from this file')
      .option('--no-dawn', 'compile on the embedded device only')
      .option('--time-limit <seconds>', 'most seconds of one run, there are five of each entry point', seconds, 10)
  },
  async run({ args: [file], entry, setup: setupFile, dawn, timeLimit }, reporter) {
    const root = file.split(sep).join('/'), whole = assemble(root, readText)
    const written = ({ file: at, line, ...found }: KernelFinding): KernelFinding => {
      const origin = line === null ? undefined : whole.origins[line - 1]
      return { ...found, file: !origin || origin.file === root ? at : origin.file, line: origin?.line ?? line }
    }
    const beside = setupFile ?? file.replace(/\.wgsl$/, '') + '.json'
    const setups = setupFile || existsSync(beside) ? readSetups(readText(beside), beside) : [{}]
    const findings: KernelFinding[] = [], runs: Run[] = [], opinions: ({ entry: string } & Opinion)[] = []
    let backends: string[] = []
    for (const setup of setups) {
      const text = splice(whole.text, setup, file)
      const compiled = await compileEverywhere(text, file, setup, entry ?? setup.entry, dawn, findings, reporter.say)
      backends = compiled.backends
      if (!compiled.program) continue
      for (const kernel of compiled.kernels) {
        const inputs = makeInputs(
          compiled.program,
          kernel.compiled.bindings,
          kernel.compiled.workgroupSize,
          setup,
          beside,
        )
        runs.push({
          entry: kernel.entry,
          grid: inputs.grid,
          workgroup: kernel.compiled.workgroupSize,
          buffers: inputs.buffers.map(({ binding, type, elements, bytes }) => ({
            name: binding.name,
            type,
            elements,
            bytes: bytes.length,
          })),
        })
        const found = await runModes(text, file, kernel.entry, setup, inputs, timeLimit)
        const reflected = {
          text,
          entry: kernel.entry,
          compiled: kernel.compiled,
          overrides: compiled.overrides,
          constants: setup.overrides ?? {},
        }
        const ended = found.every(({ mode }) => mode !== 'run')
        const opinion = await secondOpinion(reflected, ended ? inputs : null, timeLimit)
        opinions.push({ entry: kernel.entry, ...opinion })
        findings.push(...found, ...disagreements(opinion, found, file, kernel.entry))
      }
    }
    const quoted = findings.map(({ line }) => line ? whole.text.split('\n')[line - 1]?.trim() ?? '' : '')
    const placed = findings.map(written)
    return {
      exitCode: findings.length ? 1 : 0,
      text: report(file, backends, runs, placed, quoted, opinions),
      json: {
        file,
        backends,
        runs,
        findings: placed,
        opinions,
        modes: ['run', 'bounds', 'race', 'nan', 'permuted'],
        version: packageVersion(),
      },
    }
  },
}

function seconds(text: string): number {
  const value = Number(text)
  if (!(value > 0 && value <= 86400)) {
    throw new InputError(`--time-limit: expected seconds, above 0 and at most 86400, got ${quoted(text, 40)}`)
  }
  return value
}

/** Most bytes of a kernel or setup: the largest kernel of this package has 20 thousand. */
const TEXT_LIMIT = 2 ** 22

function readText(file: string): string {
  try {
    const found = statSync(file)
    // a pipe or a device may never end
    if (!found.isFile()) throw new Error('it is not a regular file')
    if (found.size > TEXT_LIMIT) throw new Error(`it has ${found.size} bytes, more than the ${TEXT_LIMIT} of a kernel`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new InputError(
      `check-kernel: expected a file to read, but ${quoted(file)}: ${plain((error as Error).message, 200)}`,
    )
  }
}

function splice(source: string, { splice: parts = {} }: Setup, file: string): string {
  let text = source
  for (const [marker, value] of Object.entries(parts)) {
    if (!text.includes(marker)) {
      throw new InputError(`${file}: the setup splices into ${quoted(marker, 60)}, which the file does not have`)
    }
    // on one line, so that line numbers stay those of the file
    text = text.replace(
      marker,
      () =>
        value.endsWith('.wgsl')
          ? readText(join(dirname(file), value)).replace(/\/\/.*$/gm, '').replace(/\n/g, ' ')
          : value,
    )
  }
  return text
}

interface Compiled {
  program: Program | null
  overrides: readonly OverrideInfo[]
  kernels: { entry: string, compiled: CompiledKernel }[]
  backends: string[]
}

/**
 * Compiles on the embedded device and on all of dawn's adapters, its null backend included; mistakes become findings.
 */
async function compileEverywhere(
  text: string,
  file: string,
  setup: Setup,
  only: string | undefined,
  withDawn: boolean,
  findings: KernelFinding[],
  say: (line: string) => void,
): Promise<Compiled> {
  const device = await (await createCpuGpu({ threads: 1 }).requestAdapter())!.requestDevice({
    requiredFeatures: ['shader-f16'] as GPUFeatureName[],
  })
  const backends = ['embedded device']
  const mistakes = await complaints(device, text, [], setup)
  const entries = mistakes.length ? [] : analyse(text).entryPoints.filter((name) => !only || name === only)
  if (!mistakes.length && !entries.length) {
    throw new InputError(
      `${file}: expected ${only ? `an entry point '${only}'` : 'a compute entry point'}, found ${
        analyse(text).entryPoints.join(', ') || 'none'
      }`,
    )
  }
  const add = (backend: string, found: Complaint[]) => {
    for (const { message, line, column, kernel } of found) {
      findings.push({
        mode: 'compile',
        backend,
        file,
        kernel: kernel ?? '',
        line,
        column,
        variable: null,
        index: null,
        message,
        count: 1,
      })
    }
  }
  mistakes.push(...mistakes.length ? [] : await complaints(device, text, entries, setup))
  device.destroy()
  add(backends[0], mistakes)
  if (withDawn) {
    const { adapters, failure } = await probeDawn()
    if (failure && !adapters.length) say(`check-kernel: dawn is left out: ${failure}`)
    for (
      const flags of [
        ...adapters.filter((one) => one.failure === null).map((
          { backend, name },
        ) => [`backend=${backend}`, `adapter=${name}`]),
        ['backend=null'],
      ]
    ) {
      const adapter = await dawnAdapter(flags)
      if (!adapter) continue
      const wanted = ['shader-f16', 'subgroups'].filter((name) => adapter.features.has(name)) as GPUFeatureName[]
      const native = await adapter.requestDevice({ requiredFeatures: wanted })
      kept.push(native)
      backends.push(flags[0] === 'backend=null' ? 'dawn, null backend' : `dawn, ${nameOf(adapter)}`)
      add(backends.at(-1)!, await complaints(native, text, entries, setup))
      native.destroy()
    }
  }
  const module = mistakes.length ? null : analyse(text)
  return {
    backends,
    program: module && module.program as Program,
    overrides: module?.overrides ?? [],
    kernels: module
      ? entries.map((entry) => ({
        entry,
        compiled: compile(module, { entryPoint: entry, constants: setup.overrides, sharedMemory: false }),
      }))
      : [],
  }
}

// Once collected, dawn hangs or aborts.
const kept: unknown[] = []

async function dawnAdapter(flags: string[]): Promise<GPUAdapter | null> {
  process.env.XDG_RUNTIME_DIR ??= process.env.TMPDIR ?? '/tmp'
  try {
    const { create, globals } = await import('webgpu')
    Object.assign(globalThis, globals)
    const instance = create(flags)
    kept.push(instance)
    return await instance.requestAdapter()
  } catch {
    return null
  }
}

interface Complaint {
  message: string
  line: number | null
  column?: number
  kernel?: string
}

/** What a device says against a module and, if it has none of that, against the pipelines of its entry points. */
async function complaints(
  device: GPUDevice,
  text: string,
  entries: string[],
  { overrides }: Setup,
): Promise<Complaint[]> {
  device.pushErrorScope('validation')
  const module = device.createShaderModule({ code: text })
  const { messages } = await module.getCompilationInfo()
  const error = await device.popErrorScope()
  const found: Complaint[] = messages.filter(({ type }) => type === 'error').map(({ message, lineNum, linePos }) => ({
    message,
    line: lineNum,
    column: linePos,
  }))
  if (error && !found.length) found.push({ message: error.message.split('\n')[0], line: null })
  for (const entryPoint of found.length ? [] : entries) {
    try {
      await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint, constants: overrides } })
    } catch (failure) {
      const { message } = failure as Error
      const at = /:(\d+):(\d+)/.exec(message)
      found.push({
        message: message.split('\n')[0],
        line: at && Number(at[1]),
        column: at ? Number(at[2]) : undefined,
        kernel: entryPoint,
      })
    }
  }
  return found
}

const OTHER = 'wgsl_reflect'

/** What the second opinion finds and this package does not. */
function disagreements(opinion: Opinion, found: KernelFinding[], file: string, kernel: string): KernelFinding[] {
  const one = { backend: OTHER, file, kernel, variable: null, index: null, count: 1 }
  const [race] = opinion.races
  const agreed = race === undefined || race.known !== null || found.length > 0
  return [
    ...opinion.differences.map((message) => ({ ...one, mode: 'reflection' as const, line: null, message })),
    ...agreed ? [] : [{
      ...one,
      mode: 'race' as const,
      line: race.line,
      message: race.message,
      count: opinion.races.length,
    }],
  ]
}

/** Runs one entry point in each debug mode; order mode is a plain run and one in reverse, compared bit by bit. */
async function runModes(
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

/** The report as text; `quoted` are the lines that findings are about. */
function report(
  file: string,
  backends: string[],
  runs: Run[],
  findings: KernelFinding[],
  quoted: readonly string[],
  opinions: readonly ({ entry: string } & Opinion)[],
): string {
  const lines = backends.map((name) =>
    `${basename(file)}: ${
      findings.some(({ mode, backend }) => mode === 'compile' && backend === name)
        ? 'DOES NOT COMPILE on'
        : 'compiles on'
    } ${name}`
  )
  for (const { entry, grid, workgroup, buffers } of runs) {
    lines.push(
      `${entry}: ${grid.join(' x ')} workgroups of ${workgroup.join(' x ')}; ${
        buffers.map(({ name, type, elements }) => `${name} ${type}${elements > 1 ? ` of ${elements}` : ''}`).join(', ')
      }`,
    )
  }
  for (const { entry, ...opinion } of opinions) lines.push(...linesOf(entry, opinion))
  for (const [i, { mode, backend, file: at, kernel, line, column, message, count }] of findings.entries()) {
    const place = `${at}${line ? `:${line}${column ? `:${column}` : ''}` : ''}`
    lines.push(
      `${place}: ${mode}${
        mode === 'compile' ? ` on ${backend}` : `, ${kernel}${backend === OTHER ? `, by ${OTHER}` : ''}`
      }: ${message}${count > 1 ? ` (${count} times)` : ''}`,
    )
    if (line) lines.push(`    ${quoted[i]}`)
  }
  if (!findings.length) lines.push('no findings: in bounds, no race, no NaN, the same in reverse order')
  return lines.join('\n')
}

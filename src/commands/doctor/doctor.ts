// `espalier doctor`: which adapters there are, the embedded device among them, what they can do and how fast they are;
// where dawn has none, why, and how to mend it.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline/promises'
import { createCpuGpu } from '../../cpu/index.ts'
import { AdapterError, EspalierError, InputError } from '../../base/errors.ts'
import { diagnose, driverAdvice } from './driver.ts'
import type { AptAdvice } from './driver.ts'
import { aptSources, installDriver, isRoot, osRelease, vulkanFacts } from './host.ts'
import { probeDawn } from './probe.ts'
import type { DawnAdapter } from './probe.ts'
import { packageVersion } from '../../files/package.ts'
import { nodeHint } from '../node-hint.ts'
import type { Answer, CommandSpec, CommonOptions, Reporter } from '../command.ts'
import { measureSpeed, type Speed } from './speed.ts'

interface DoctorOptions extends CommonOptions {
  fix?: boolean
  yes?: boolean
}

/** Why dawn has no adapter that works, and the one command or act that mends it; `plan` where `--fix` can do it. */
interface Problem {
  why: string
  cure: string
  plan: AptAdvice | null
}

/** One adapter and its speed; null where it does not work. */
interface Listed extends DawnAdapter {
  speed: Speed | null
}

interface Findings {
  adapters: DawnAdapter[]
  problem: Problem | null
}

/** The command `espalier doctor [--fix] [--yes]`. */
export const doctor: CommandSpec<DoctorOptions> = {
  name: 'doctor',
  summary: 'adapters, their speed, drivers, features and limits; '
    + '--fix installs a software Vulkan driver where there is no adapter',
  example: 'espalier doctor --json',
  declare(command) {
    command.option('--fix', "install Mesa's software Vulkan driver where dawn finds no adapter")
      .option('--yes', 'with --fix: do not ask before installing')
  },
  async run(options, reporter) {
    let findings = await examine()
    let fixed = false
    if (options.fix && findings.problem) {
      fixed = await fix(findings.problem, options, reporter)
      if (fixed) findings = await examine()
    } else if (options.fix) reporter.say('doctor: there is a working adapter, so nothing needs to be installed')
    return await report(findings, options, fixed)
  },
}

async function examine(): Promise<Findings> {
  const probe = await probeDawn()
  if (probe.adapters.some((adapter) => adapter.failure === null)) return { adapters: probe.adapters, problem: null }
  const facts = vulkanFacts()
  const broken = probe.adapters[0]
  const why = broken
    ? `the adapter '${broken.name}' does not compute: ${broken.failure}`
    : diagnose(facts, probe.messages, probe.failure)
  if (facts.platform !== 'linux') {
    return { adapters: probe.adapters, problem: { why, cure: 'update the graphics driver', plan: null } }
  }
  if (facts.override) {
    return {
      adapters: probe.adapters,
      problem: { why, cure: `unset ${facts.override}, or let it name a driver that dawn takes`, plan: null },
    }
  }
  const plan = driverAdvice(osRelease(), aptSources())
  return {
    adapters: probe.adapters,
    problem: plan.kind === 'apt'
      ? { why, cure: fixCommand(), plan }
      : { why, cure: `${plan.why}; ${plan.cure}`, plan: null },
  }
}

/** This very program with `--fix`, so that it also works under sudo, whose PATH often lacks npx. */
function fixCommand(): string {
  const words = [process.execPath, process.argv[1], 'doctor', '--fix'].map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
  )
  return isRoot() ? 'npx espalier doctor --fix' : `sudo ${words.join(' ')}`
}

/** Installs the driver after asking; false when the answer was no. */
async function fix({ why, cure, plan }: Problem, { yes, json }: DoctorOptions, reporter: Reporter): Promise<boolean> {
  if (!plan) throw new EspalierError(`doctor: ${why}; --fix cannot mend that: ${cure}`)
  if (!isRoot()) {
    throw new EspalierError(`doctor: ${why}; installing ${plan.packages.join(' and ')} takes root: ${cure}`)
  }
  const from = plan.target ?? plan.distribution
  if (!yes) {
    if (json || !process.stdin.isTTY) {
      throw new InputError('doctor: --fix asks before it installs, and there is no terminal to ask on; add --yes')
    }
    const prompt = createInterface({ input: process.stdin, output: process.stderr })
    const question = `${why}.\nInstall ${
      plan.packages.join(' and ')
    } from ${from}? Your apt sources stay as they are. [y/N] `
    // Ctrl-C rejects and Ctrl-D only closes: both are a no.
    const answer = await Promise.race([prompt.question(question).catch(() => ''), once(prompt, 'close').then(() => '')])
    prompt.close()
    if (!/^y(es)?$/i.test(answer.trim())) {
      reporter.say('doctor: nothing was changed')
      return false
    }
  }
  await installDriver(plan, reporter.say)
  return true
}

/** The embedded device, described like the others. */
async function embedded(threads: number | undefined): Promise<DawnAdapter> {
  const { info, limits, features } = (await createCpuGpu({ threads }).requestAdapter())!
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = info
  const numbers: Record<string, number> = {}
  for (const [key, value] of Object.entries(limits)) if (typeof value === 'number') numbers[key] = value
  const names = [...features].sort()
  return {
    name: 'cpu',
    backend: 'embedded',
    vendor,
    architecture,
    device,
    description,
    software: true,
    features: names,
    limits: numbers,
    subgroupSizes: names.includes('subgroups') ? [subgroupMinSize, subgroupMaxSize] : null,
    failure: null,
  }
}

async function report(
  { adapters, problem }: Findings,
  { adapter: wanted, threads }: DoctorOptions,
  fixed: boolean,
): Promise<Answer> {
  const all = [...adapters, await embedded(threads)]
  const shown = wanted
    ? all.filter((adapter) => wanted === 'dawn' ? adapter.backend !== 'embedded' : matches(adapter, wanted))
    : all
  if (!shown.length) {
    const here = all.map(({ name }) => name).join('; ')
    throw new AdapterError(
      `doctor: expected an adapter whose name has '${wanted}', found: ${here}${
        problem ? `; dawn has none that works, because ${problem.why}` : ''
      }`,
    )
  }
  const listed: Listed[] = []
  for (const adapter of shown) {
    listed.push({ ...adapter, speed: adapter.failure === null ? await speedOf(adapter, threads) : null })
  }
  const chosen = adapters.find(({ software, failure }) => !software && failure === null)?.name ?? 'cpu'
  const dawn = String(createRequire(import.meta.url)('webgpu/package.json').version)
  const host = {
    version: packageVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    dawn,
  }
  const json = {
    ...host,
    fixed,
    chosen,
    problem: problem && { why: problem.why, cure: problem.cure },
    adapters: listed.map((adapter) => ({ ...adapter, ...abilities(adapter) })),
  }
  const use = chosen === 'cpu'
    ? "Without --adapter, the embedded device ('cpu') is used: there is no GPU here."
    : `Without --adapter, '${chosen}' is used.`
  const hint = nodeHint('wasm-simd')
  const text = [
    `espalier ${host.version}, node ${host.node}, ${host.platform}, dawn-node ${dawn}`,
    ...listed.map(describe),
    ...(problem ? [`Dawn has no adapter: ${problem.why}.\nTo mend it: ${problem.cure}`] : []),
    use,
    ...(hint ? [`On the embedded device: ${hint}.`] : []),
  ].join('\n\n')
  return { json, text }
}

/** Measured in this process: the search has tried the adapter in one of its own before. */
async function speedOf({ name, backend }: DawnAdapter, threads: number | undefined): Promise<Speed | null> {
  try {
    return await measureSpeed(backend === 'embedded' ? { adapter: 'cpu', threads } : { adapter: name })
  } catch {
    return null
  }
}

function matches(adapter: DawnAdapter, part: string): boolean {
  return `${adapter.name} ${adapter.description} ${adapter.vendor}`.toLowerCase().includes(part.toLowerCase())
}

function abilities({ features }: DawnAdapter) {
  return {
    f16: features.includes('shader-f16'),
    subgroups: features.includes('subgroups'),
    timestamps: features.includes('timestamp-query'),
  }
}

function describe(adapter: Listed): string {
  const { f16, subgroups, timestamps } = abilities(adapter)
  const yes = (value: boolean) => value ? 'yes' : 'no'
  const sizes = adapter.subgroupSizes ? ` (${[...new Set(adapter.subgroupSizes)].join(' to ')} lanes)` : ''
  const limit = (name: string) => adapter.limits[name] ?? NaN
  const invocations = ['X', 'Y', 'Z'].map((axis) => limit(`maxComputeWorkgroupSize${axis}`)).join(' x ')
  const { speed } = adapter
  return [
    `${adapter.name} (${
      adapter.backend === 'embedded'
        ? 'embedded device'
        : `${adapter.software ? 'software' : 'GPU'}, ${adapter.backend}`
    })`,
    `  works       ${adapter.failure === null ? 'yes, a small computation came out right' : `no: ${adapter.failure}`}`,
    `  speed       ${
      speed
        ? `${speed.gflops.toPrecision(3)} GFLOP/s (matrix product 256 x 256 x 256), ${
          speed.gbps.toPrecision(3)
        } GB/s (elementwise over 4 MB)`
        : 'not measured'
    }`,
    `  driver      ${adapter.description || 'not told'}`,
    `  f16         ${yes(f16)}`,
    `  subgroups   ${yes(subgroups)}${sizes}`,
    `  timestamps  ${yes(timestamps)}`,
    `  limits      buffer ${bytes(limit('maxBufferSize'))}, binding ${bytes(limit('maxStorageBufferBindingSize'))}, `
    + `${limit('maxStorageBuffersPerShaderStage')} storage buffers per stage,`,
    `              workgroup memory ${bytes(limit('maxComputeWorkgroupStorageSize'))}, ${
      limit('maxComputeInvocationsPerWorkgroup')
    } invocations `
    + `(at most ${invocations}), ${limit('maxComputeWorkgroupsPerDimension')} workgroups per axis`,
    `  features    ${adapter.features.join(', ')}`,
  ].join('\n')
}

function bytes(value: number): string {
  const power = Math.min(3, Math.max(0, Math.floor(Math.log2(value + 1) / 10)))
  return `${Math.round(value / 1024 ** power)} ${['B', 'KiB', 'MiB', 'GiB'][power]}`
}

// `espalier check-kernel`: does a WGSL file compile on every backend at hand, and does it stay in bounds, without races
// and without NaN when it runs?
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'
import { assemble } from '../gpu/source.ts'
import { packageVersion } from '../files/package.ts'
import type { CommandSpec, CommonOptions } from './command.ts'
import { makeInputs, readSetups, type Setup } from './kernel-inputs.ts'
import { type Opinion, secondOpinion } from './kernel-opinion.ts'
import { compileEverywhere } from './kernel-compile.ts'
import { runModes } from './kernel-run.ts'
import { OTHER, report } from './kernel-report.ts'
import type { Run } from './kernel-report.ts'
import type { KernelFinding } from './kernel-finding.ts'

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
      'the kernel; a .json of the same name beside it may set grid, sizes, params, values, ranges, '
        + 'overrides, splice, entry',
    )
      .option('--entry <name>', 'check this entry point only')
      .option('--setup <file.json>', 'sizes, parameters and grid from this file')
      .option('--no-dawn', 'compile on the embedded device only')
      .option('--time-limit <seconds>', 'most seconds of one run, there are five of each entry point', seconds, 10)
  },
  async run({ args: [file], entry, setup: setupFile, dawn, timeLimit }, reporter) {
    const root = file.split(sep).join('/'), whole = kernelOf(root)
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

/** Most bytes of a setup, and of a kernel: the largest of this package has 20 thousand, and 128 compile in seconds. */
const TEXT_LIMIT = 2 ** 22, KERNEL_LIMIT = 2 ** 17

/** A kernel with what it includes. */
function kernelOf(file: string): ReturnType<typeof assemble> {
  const whole = assemble(file, (path) => readText(path, KERNEL_LIMIT))
  if (whole.text.length <= KERNEL_LIMIT) return whole
  throw new InputError(
    `check-kernel: expected at most ${KERNEL_LIMIT} bytes, but ${
      quoted(file)
    } has ${whole.text.length} with its includes`,
  )
}

function readText(file: string, limit = TEXT_LIMIT): string {
  try {
    const found = statSync(file)
    // a pipe or a device may never end
    if (!found.isFile()) throw new Error('it is not a regular file')
    if (found.size > limit) throw new Error(`it has ${found.size} bytes, expected at most ${limit}`)
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

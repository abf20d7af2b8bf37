// `espalier bench`: checks first, then times. The suites live in bench/, which is loaded when it is asked for.
import { type Command, InvalidArgumentError } from 'commander'
import { InputError } from '../base/errors.ts'
import type { Precision } from '../gpu/precision.ts'
import { claimOutputs } from '../files/claim.ts'
import { openOutput } from '../files/output.ts'
import { isPluginPath } from '../files/plugin.ts'
import type { PeerName } from '../../bench/peers.ts'
import type { Suite } from '../../bench/run.ts'
import { partProgress, reportsOf } from './bench-processes.ts'
import { addPrecision, type CommandSpec, type CommonOptions, follow, wholeNumber } from './command.ts'
import { namedPattern } from './pattern.ts'
import { oneOf } from './pruner.ts'

const suites: readonly Suite[] = [
    'kernels',
    'attention',
    'patterns',
    'variants',
    'models',
    'pruned',
    'learning',
    'overhead',
    'embedded',
  ],
  peers: readonly PeerName[] = ['tfjs', 'jax-js', 'ort', 'ort-web', 'tfjs-wasm']

interface BenchOptions extends CommonOptions {
  only?: string
  against?: string
  profile?: 'browser' | 'native' | 'both'
  rounds?: number
  processes?: number
  batch?: number[]
  pattern?: string
  density?: number[]
  quick?: boolean
  compare?: string
  report?: string
  overwrite?: boolean
  precision?: Precision
}

/** The command `espalier bench [suite]`. */
export const bench: CommandSpec<BenchOptions> = {
  name: 'bench',
  summary: 'checks kernels and networks against references, then times them, '
    + 'beside other runtimes if asked (npm run peers installs those, in a checkout)',
  example: 'espalier bench kernels --only matmul',
  declare(command: Command) {
    addPrecision(command).argument('[suite]', suites.join(', '), 'kernels')
      .option('--only <names>', 'cases whose name contains one of these words, with commas')
      .option('--batch <sizes>', 'batch sizes of the layers of networks, with commas (1,8, on a GPU 1,8,64)', batches)
      .option('--pattern <names>', 'patterns by name or file, with commas, for the suite patterns')
      .option(
        '--density <fractions>',
        'densities above 0 and at most 1, with commas, for the suite patterns',
        densities,
      )
      .option('--against <peers>', `other runtimes, with commas: ${peers.join(', ')}`)
      .option(
        '--profile <name>',
        'browser: what a page may use; native: also timestamps in full, no robustness checks, unsafe features; both',
        oneOf(['browser', 'native', 'both'] as const, '--profile'),
      )
      .option('--rounds <n>', 'how often the candidates take turns', wholeNumber(1, 10_000))
      .option(
        '--processes <n>',
        'measures in so many processes and joins their rounds (patterns 5 of three rounds each, else 1)',
        wholeNumber(1, 100),
      )
      .option('--quick', 'three short rounds and batch 1: for a look, not for a figure')
      .option('--compare <old.json>', 'what changed beyond noise since a run whose --json was saved')
      .option('--report <file.html>', 'the tables and curves as one page')
      .option('--overwrite', 'replace --report if it is there')
  },
  async run(options, reporter) {
    const { args, only, against, profile, rounds, adapter, threads, batch, quick, compare } = options
    const { pattern, density, precision } = options
    const { report: page, overwrite = false } = options
    const suite = oneOf(suites, 'bench')(args[0] ?? 'kernels')
    const names = against?.split(',').map((name) => oneOf(peers, '--against')(name.trim())) ?? []
    const { benchPage, benchText, jsonReport, mergeReports, readReport, runBench } = await loadBench()
    // What cannot be read or written is refused before minutes of work.
    const old = compare === undefined ? undefined : { path: compare, report: readReport(compare) }
    const chosen = pattern?.split(',').map((name) => name.trim())
    if (page !== undefined) {
      const read = [
        ...compare === undefined ? [] : [{ flag: '--compare', path: compare }],
        ...chosen?.filter(isPluginPath).map((path) => ({ flag: '--pattern', path })) ?? [],
      ]
      claimOutputs([{ flag: '--report', path: page }], read, overwrite)
    }
    const output = page === undefined ? null : openOutput(page)
    if (suite !== 'patterns' && (pattern !== undefined || density)) {
      throw new InputError(
        `bench ${suite}: --pattern and --density are for 'bench patterns'; leave them out or name that`,
      )
    }
    if (suite !== 'models' && precision !== undefined) {
      throw new InputError(
        `bench ${suite}: --precision is for 'bench models'; the other suites hold kernels against sums in doubles, `
          + "so leave it out, or see 'bench variants' for what each kernel loses",
      )
    }
    const patterns = chosen && await Promise.all(chosen.map(namedPattern))
    const { processes = suite === 'patterns' && !quick ? usualProcesses : 1 } = options, each = partProgress()
    const { onProgress, stop } = each ? { onProgress: each, stop() {} } : follow(reporter)
    const report = processes > 1
      ? mergeReports(await reportsOf(processes, argumentsOf(suite, options), onProgress).finally(stop))
      : await runBench({
        suite,
        only: only?.split(','),
        against: names,
        profile,
        adapter,
        threads,
        precision,
        rounds,
        batches: batch,
        patterns,
        densities: density,
        quick,
        onProgress,
      }).finally(stop)
    // Peers keep devices open that nobody else closes; an unreferenced timer ends the process only if it would not end
    // by itself.
    if (names.length || suite === 'embedded') setTimeout(() => process.exit(), 2000).unref()
    output?.write(benchPage(report, old))
    output?.commit()
    return { json: jsonReport(report, old), text: benchText(report, old) }
  },
}

/** Processes of `bench patterns`, and the rounds of each, where nothing else is asked for. */
const usualProcesses = 5, usualRounds = 3

/** The command line of one of several processes. */
function argumentsOf(suite: Suite, options: BenchOptions): string[] {
  const { only, against, profile, rounds = suite === 'patterns' ? usualRounds : undefined, adapter, threads } = options
  const { batch, pattern, density, quick, precision, seed } = options
  const flags = { only, against, profile, rounds, adapter, threads, batch, pattern, density, precision, seed }
  return [
    suite,
    ...Object.entries(flags).flatMap(([name, value]) => value === undefined ? [] : [`--${name}=${String(value)}`]),
    ...quick ? ['--quick'] : [],
  ]
}

function batches(text: string): number[] {
  return text.split(',').map((part) => {
    const value = Number(part)
    if (part.trim() === '' || !Number.isInteger(value) || value < 1 || value > 4096) {
      throw new InvalidArgumentError('Expected whole numbers from 1 to 4096 with commas between.')
    }
    return value
  })
}

function densities(text: string): number[] {
  return text.split(',').map((part) => {
    const value = Number(part)
    if (part.trim() === '' || !(value > 0 && value <= 1)) {
      throw new InvalidArgumentError('Expected numbers above 0 and at most 1 with commas between.')
    }
    return value
  })
}

/** tinybench is needed for benches alone, so a program that only uses the library may leave it out. */
async function loadBench() {
  try {
    return await import('../../bench/index.ts')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new InputError(`bench: ${(error as Error).message.split('\n')[0]}; install it: npm install tinybench`, {
      cause: error,
    })
  }
}

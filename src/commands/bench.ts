// `espalier bench`: checks first, then times. The suites live in bench/, which is loaded when it is asked for.
import type { Command } from 'commander'
import { InputError } from '../base/errors.ts'
import type { PeerName } from '../../bench/peers.ts'
import type { Suite } from '../../bench/run.ts'
import { type CommandSpec, type CommonOptions, follow, wholeNumber } from './command.ts'
import { oneOf } from './pruner.ts'

const suites: readonly Suite[] = ['kernels', 'variants', 'models', 'pruned', 'overhead', 'embedded'],
  peers: readonly PeerName[] = ['tfjs', 'jax-js', 'ort']

interface BenchOptions extends CommonOptions {
  only?: string
  against?: string
  profile?: 'browser' | 'native'
  rounds?: number
}

/** The command `espalier bench [suite]`. */
export const bench: CommandSpec<BenchOptions> = {
  name: 'bench',
  summary:
    'checks kernels and networks against references, then times them, beside other runtimes if asked (npm run peers installs those, in a checkout)',
  example: 'espalier bench kernels --only matmul',
  declare(command: Command) {
    command.argument('[suite]', suites.join(', '), 'kernels')
      .option('--only <names>', 'cases whose name contains one of these words, with commas')
      .option('--against <peers>', `other runtimes, with commas: ${peers.join(', ')}`)
      .option(
        '--profile <name>',
        'browser: what a page may use; native: also timestamps in full and unsafe features',
        oneOf(['browser', 'native'] as const, '--profile'),
      )
      .option('--rounds <n>', 'how often the candidates take turns', wholeNumber(1, 10_000))
  },
  async run({ args, only, against, profile, rounds, adapter, threads }, reporter) {
    const suite = oneOf(suites, 'bench')(args[0] ?? 'kernels')
    const names = against?.split(',').map((name) => oneOf(peers, '--against')(name.trim())) ?? []
    const { benchText, jsonReport, runBench } = await loadBench()
    const { onProgress, stop } = follow(reporter)
    const report = await runBench({
      suite,
      only: only?.split(','),
      against: names,
      profile,
      adapter,
      threads,
      rounds,
      onProgress,
    }).finally(stop)
    // Peers keep devices open that nobody else closes; an unreferenced timer ends the process only if it would not end
    // by itself.
    if (names.length || suite === 'embedded') setTimeout(() => process.exit(), 2000).unref()
    return { json: jsonReport(report), text: benchText(report) }
  },
}

/** tinybench is needed for benches alone, so a program that only uses the library may leave it out. */
async function loadBench() {
  try {
    return await import('../../bench/run.ts')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new InputError(`bench: ${(error as Error).message.split('\n')[0]}; install it: npm install tinybench`, {
      cause: error,
    })
  }
}

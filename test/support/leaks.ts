// Runs one kind of work many times in a process of its own, and says what each call left behind.
import { bundleForNode, runNode } from './cli.ts'
import type { Footprint } from './workload.ts'
import { slope } from './line.ts'

/** What the process held after so many calls. */
export type Sample = Footprint & { calls: number }

/** Samples over `calls` calls, garbage collected before each. */
export async function sample(adapter: string, kind: string, calls: number): Promise<Sample[]> {
  const program = await bundleForNode('test/support/leak-program.ts', 'leak-program')
  const { stdout, stderr, code } = await runNode(program, [adapter, kind, String(calls)], {}, ['--expose-gc'])
  if (code !== 0) throw new Error(`leak-program ended with ${code}: ${stderr}`)
  return JSON.parse(stdout) as Sample[]
}

/** Kilobytes a call, over the second half of the samples: the first fills caches. */
export function growth(samples: readonly Sample[], what: 'heap' | 'rss' | 'outside' | 'live' | 'allocated'): number {
  const late = samples.slice(samples.length >> 1)
  return 1000 * slope(late.map(({ calls }) => calls), late.map((each) => each[what]))
}

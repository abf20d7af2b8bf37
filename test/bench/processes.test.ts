// Rounds of several processes in one report: what is merged, what is found anew, and the command that starts them.
import { describe, expect, test, vi } from 'vitest'
import { mergeReports } from '../../bench/processes.ts'
import { partProgress } from '../../src/commands/bench-processes.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { reportOf, rowWith } from './rows.ts'

const both = (dense: number[], sparse: number[]) => {
  const shared = { suite: 'patterns', density: 0.5 }
  return [
    rowWith(dense, { ...shared, impl: 'dense' }),
    rowWith(sparse, {
      ...shared,
      impl: 'block:16x16',
      gflops: 10,
      gbps: 20,
      speedUps: [{ over: 'dense', value: 1, low: 1, high: 1 }],
    }),
  ]
}

describe('reports of several processes', () => {
  test('have the rounds of all, medians over them, and speed-ups with an interval over processes', () => {
    const merged = mergeReports([
      reportOf(both([20, 20, 20], [10, 10, 10]), { tuning: { matmul: 'a' }, notes: ['one'] }),
      reportOf(both([20, 20, 20], [5, 5, 5]), { tuning: { matmul: 'b' }, notes: ['one', 'two'] }),
      reportOf(both([20, 20, 20], [8, 8, 8]), { tuning: { matmul: 'a' } }),
    ])
    const [dense, sparse] = merged.rows
    expect(merged).toMatchObject({ processes: 3, tuning: { matmul: 'a | b' }, notes: ['one', 'two'] })
    expect(dense).toMatchObject({ msMedian: 20, processes: 3, runs: 27 })
    expect(dense.speedUps).toBeUndefined()
    expect(sparse.msRounds).toEqual([10, 10, 10, 5, 5, 5, 8, 8, 8])
    expect(sparse).toMatchObject({ msMedian: 8, msMad: 2, noisy: true })
    expect(sparse.gflops).toBeCloseTo(12.5, 10)
    expect(sparse.gbps).toBeCloseTo(25, 10)
    expect(sparse.speedUps).toMatchObject([{ over: 'dense', value: 2.5, low: 2, high: 4 }])
  })

  test('processes that agree are not noisy; a row that one of them lacks is left out and named', () => {
    const merged = mergeReports([
      reportOf(both([20, 20], [10, 10])),
      reportOf(both([10, 10], [5, 5])),
      reportOf(both([30, 30], [15, 15])),
    ])
    expect(merged.rows[1].noisy).toBeUndefined()
    expect(merged.rows[1].speedUps).toMatchObject([{ over: 'dense', value: 2, low: 2, high: 2 }])
    const partly = mergeReports([reportOf(both([20], [10])), reportOf(both([20], [10]).slice(0, 1))])
    expect(partly.rows.map(({ impl }) => impl)).toEqual(['dense'])
    expect(partly.notes).toEqual(['not measured in every process, so left out: matmul 8x8x8 block:16x16 at 0.5'])
    expect(() => mergeReports([])).toThrow(RangeError)
  })
})

describe('bench --processes', () => {
  test('one that is started by hand tells its progress to people, one of several to the one that asked', () => {
    expect(partProgress()).toBeNull()
    const said: string[] = [],
      write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
        said.push(String(text))
        return true
      })
    vi.stubEnv('ESPALIER_BENCH_PROCESS', '1')
    partProgress()!('bench patterns', 3, 12, 'round 3 of 9')
    vi.unstubAllEnvs()
    write.mockRestore()
    expect(said).toEqual(['bench-progress ["bench patterns",3,12,"round 3 of 9"]\n'])
  })

  test('starts them, joins their rounds, and passes on why one failed', async () => {
    const cli = await bundleForNode('src/cli.ts', 'cli-bench'),
      quick = ['bench', 'patterns', '--adapter', 'cpu', '--quick', '--rounds', '1', '--json']
    const { stdout, code, stderr } = await runNode(cli, [...quick, '--processes', '2'])
    expect(code, stderr).toBe(0)
    const { processes, rows, breakEven } = JSON.parse(stdout) as ReturnType<typeof mergeReports>
    expect({ processes, breakEven }).toEqual({ processes: 2, breakEven: [] })
    for (const row of rows) {
      expect(row).toMatchObject({ processes: 2, msRounds: [expect.any(Number), expect.any(Number)] })
    }
    const failed = await runNode(cli, [...quick, '--adapter', 'no such', '--processes', '2'])
    expect(failed.code).toBe(3)
    expect(failed.stdout).toMatch(/no such/)
    expect(failed.stdout).not.toMatch(/bench-progress/)
  }, 120_000)
})

// `bench learning`: every stage of every learned method has a row beside the training step.
import { expect, test } from 'vitest'
import { learningRows } from '../../bench/learning.ts'
import { gpu } from '../../src/gpu/device.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('steps', (adapter) => {
  // A software driver takes minutes for them.
  test.skipIf(adapter !== 'cpu')('of all stages beside a training step', async () => {
    const before = gpu().pool.memory.live
    const rows = await learningRows({ wanted: (name) => name === 'compact step', quick: true, rounds: 1 })
    expect(rows.map(({ impl }) => impl)).toEqual([
      'training step',
      'xpruner, masks',
      'xpruner, thresholds',
      'gohsp, soft-pruning',
      'apma, search',
      'apma, start',
    ])
    for (const { msMedian, runs } of rows) {
      expect(msMedian).toBeGreaterThan(0)
      expect(runs).toBeGreaterThan(0)
    }
    expect(rows[1].speedUps).toMatchObject([{ over: 'training step' }])
    expect(gpu().pool.memory.live).toBe(before)
  }, 120_000)
})

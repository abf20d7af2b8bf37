// SIGKILLs at random times over all commands that go on: `KILLS=100 KILL_SEED=1 npm run test:long -- kill`.
import { expect, test } from 'vitest'
import { killMany } from '../support/kills.ts'

test('whatever is killed goes on to the numbers and files of a run in one go', async () => {
  const count = Number(process.env.KILLS ?? 100)
  const { killed, wrong } = await killMany(count, Number(process.env.KILL_SEED ?? 1))
  expect(wrong).toEqual([])
  expect(killed).toBeGreaterThanOrEqual(count * 0.9)
}, 4 * 3600_000)

// Six of the hundred SIGKILLs of `npm run test:long -- kill`.
import { expect, test } from 'vitest'
import { killMany } from '../support/kills.ts'

test('whatever is killed goes on to the numbers and files of a run in one go', async () => {
  const { killed, wrong } = await killMany(6, 3)
  expect(wrong).toEqual([])
  expect(killed).toBeGreaterThan(3)
}, 600_000)

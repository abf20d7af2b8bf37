// Progress counts to its end, never backwards, and names what is at work.
import { expect, test } from 'vitest'
import { meter } from '../../bench/meter.ts'

test('three cases of four rounds: done grows from 0 to the total, whatever rounds a case has of its own', () => {
  const told: [number, number, string][] = []
  const count = meter('bench kernels', 3, 4, (what, done, total, note = '') => {
    expect(what).toBe('bench kernels')
    told.push([done, total, note])
  })
  for (const [i, own] of [4, 9, 1].entries()) {
    const onProgress = count.begin(i, `case ${i}`)
    for (let round = 1; round <= own; round++) onProgress('anything', round, own)
  }
  expect(told[0]).toEqual([0, 15, 'case 0 (1 of 3): making and checking'])
  expect(told.at(-1)).toEqual([15, 15, 'case 2 (3 of 3): round 1 of 1'])
  told.forEach(([done, total], i) => {
    expect(total).toBe(15)
    if (i) expect(done).toBeGreaterThanOrEqual(told[i - 1][0])
    if (i < told.length - 1) expect(done).toBeLessThan(total)
  })
})

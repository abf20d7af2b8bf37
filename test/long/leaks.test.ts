// 2,000 calls of everything a long-lived process does, each kind in a process of its own. ESPALIER_LEAK_CALLS picks
// another number.
import { describe, expect, test } from 'vitest'
import { noDawn } from '../support/dawn.ts'
import { growth, sample } from '../support/leaks.ts'

const calls = Number(process.env.ESPALIER_LEAK_CALLS ?? 2000)
const kinds = ['evaluate', 'explain', 'prune', 'sweep', 'train'].flatMap((kind) => [`resnet ${kind}`, `vit ${kind}`])
const cases = [
  ...kinds.map((kind) => ['cpu', kind, calls] as const),
  ...(noDawn ? [] : [['dawn', 'vit evaluate', calls] as const, ['dawn', 'vit train', calls] as const]),
]

describe('heap and device memory after forced collection', () => {
  test.each(cases)('on %s: %s, %i calls', async (adapter, kind, calls) => {
    const samples = await sample(adapter, kind, calls)
    console.log(
      `${kind} on ${adapter}: heap ${growth(samples, 'heap').toFixed(2)}, outside it ${
        growth(samples, 'outside').toFixed(2)
      }, device ${growth(samples, 'allocated').toFixed(2)} KB a call`,
    )
    expect(samples.at(-1)!.live).toBe(samples[0].live)
    expect(growth(samples, 'heap')).toBeLessThan(1)
    expect(growth(samples, 'allocated')).toBeLessThan(10)
  }, 7_200_000)
})

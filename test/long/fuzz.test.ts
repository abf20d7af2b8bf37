// 2,000 random kernels on the embedded device and on dawn: npm run test:long. ESPALIER_FUZZ=first-last picks other
// seeds.
import { beforeAll, describe, expect, test } from 'vitest'
import { hunt } from '../support/fuzz-run.ts'
import { native } from '../support/gpus.ts'
import { noDawn } from '../support/dawn.ts'

const [first, last] = (process.env.ESPALIER_FUZZ ?? '0-1999').split('-').map(Number)
const part = 100

describe(
  noDawn ? `random kernels, on the embedded device only (${noDawn})` : 'random kernels on the embedded device and dawn',
  () => {
    let device: GPUDevice | null = null
    beforeAll(async () => {
      if (!noDawn) device = await native()
    })
    for (let from = first; from <= last; from += part) {
      const to = Math.min(last, from + part - 1)
      test(`programs ${from} to ${to}`, async () => {
        expect(await hunt(from, to, device)).toEqual([])
      }, 1_800_000)
    }
  },
)

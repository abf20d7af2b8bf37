// Five hundred steps of each stage that learns: a captured step makes no buffer after the second, and nothing piles up.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { prune } from '../../src/pruning/prune.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { noDawn } from '../support/dawn.ts'
import { digitSwin, digitViT, openDigits } from '../support/digits.ts'

const batch = 10, perEpoch = 10, epochs = 50

/** Stages of 500 steps each, and the settings that make them so. */
const methods: Record<string, { stages: string[], set: Record<string, string> }> = {
  xpruner: {
    stages: ['masks', 'thresholds'],
    set: {
      'mask-epochs': String(epochs),
      'gate-epochs': String(epochs),
      'mask-rate': '0.01',
      'mask-optimizer': 'adamw',
    },
  },
  gohsp: { stages: ['soft-pruning'], set: { 'soft-epochs': String(epochs), 'tolerance': '0', 'graph-images': '20' } },
  apma: { stages: ['search'], set: { 'search-epochs': String(epochs) } },
}
const networks = { vit: () => digitViT({ hidden: 48 }), swin: () => digitSwin({ kinds: 'S', ratio: 4 }) }
const cases = (adapter: string, names: (keyof typeof networks)[]) =>
  Object.keys(methods).flatMap((method) => names.map((network) => [adapter, method, network] as const))

describe.each(['cpu', ...noDawn ? [] : ['dawn']])('on %s', (adapter) => {
  beforeAll(async () => {
    await init({ adapter, fixedVariants: true })
  })
  afterAll(close)

  test.each(cases(adapter, adapter === 'cpu' ? ['vit', 'swin'] : ['vit']))(
    '%s: %s of a %s',
    async (_, method, network) => {
      const { memory } = gpu().pool, { stages, set } = methods[method], model = networks[network]()
      const data = await openDigits(0, batch * perEpoch - 1),
        seen = new Map<string, { live: number, allocated: number }[]>()
      const found = await prune(model, {
        method,
        data,
        batch,
        seed: 4,
        multipleOf: 1,
        ...method === 'gohsp' ? { params: 0.7 } : { macs: 0.7 },
        options: set,
        finetune: { epochs, rate: 1e-4 },
        onProgress: (what) => {
          const { live, allocated } = memory
          seen.set(what, [...seen.get(what) ?? [], { live, allocated }])
        },
      })
      for (const stage of [...stages, 'fine-tuning']) {
        const steps = seen.get(stage) ?? []
        expect(steps.length, `steps of ${stage}; there are ${[...seen.keys()].join(', ')}`)
          .toBeGreaterThanOrEqual(epochs * perEpoch)
        const places = steps.map(({ live }) => live), early = Math.max(...places.slice(0, 3 * perEpoch))
        expect(Math.max(...places.slice(3 * perEpoch)), `${stage}: bytes of tensors`).toBeLessThanOrEqual(early)
        // The pool: what epochs 2 and 3 needed between two steps is enough for all that follow.
        const pool = steps.map(({ allocated }) => allocated)
        expect(Math.max(...pool.slice(3 * perEpoch)), `${stage}: bytes of buffers`)
          .toBeLessThanOrEqual(Math.max(...pool.slice(0, 3 * perEpoch)))
      }
      disposeTree([model, found.model])
    },
    1_800_000,
  )
})

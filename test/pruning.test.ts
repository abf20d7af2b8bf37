// Every model and every exact unit: the sliced and the masked model agree.
import { expect, test } from 'vitest'
import { type Tensor } from '../src/index.ts'
import { maskModel, unmaskModel } from '../src/pruning/mask.ts'
import { freeModel, type Plan, sliceModel } from '../src/pruning/slice.ts'
import { type Unit, units } from '../src/pruning/units.ts'
import { scope } from '../src/transform.ts'
import { describeDevice } from './device.ts'
import { golden, hasGolden } from './golden.ts'
import { goldenInput, loadModel, modelCases } from './model-cases.ts'
import { generator, relativeError } from './reference/nd.ts'

/** Drops about `rate` of each unit at random: two-axis units the same count for every head. */
function randomPlan(found: readonly Unit[], seed: number, rate: number): Plan {
  const next = generator(seed)
  const some = (size: number) => {
    const keep = new Uint8Array(size).fill(1)
    const drop = Math.min(size - 1, Math.round(rate * size))
    for (let left = drop; left > 0;) {
      const at = Math.floor(next() * size)
      if (keep[at]) { keep[at] = 0; left-- }
    }
    return keep
  }
  return new Map(found.filter(({ exact, prunable }) => exact === true && prunable === true).map((unit) => [unit.name, unit.shape.length === 1 ? some(unit.size)
    : Uint8Array.from(Array.from({ length: unit.shape[0] }, () => [...some(unit.shape[1])]).flat())]))
}

// Every plan makes new shapes: a software driver runs a few, the embedded device all.
const onDawn = ['deit_mini', 'cifar_resnet8_w8']

describeDevice('sliced equals masked', (adapter) => {
  for (const [name, definition] of Object.entries(modelCases)) {
    if (definition.patience || (adapter === 'dawn' && !onDawn.includes(name))) continue      // the real DeiT-Tiny adds size, no new unit
    for (const residual of ['closing', 'coupled'] as const) {
      test.skipIf(!hasGolden(name))(`${name}, residual ${residual}`, async () => {
        const file = golden(name)
        const model = loadModel(definition, file), image = goldenInput(file)
        const found = units(model, image.shape, { residual })
        const run = async (m: { call(x: Tensor): Tensor }) => {
          const out = scope(() => m.call(image))
          const data = await out.data()
          out.dispose()
          return data
        }
        for (let seed = 0; seed < 2; seed++) {
          const plan = randomPlan(found, seed, 0.4)
          expect(plan.size).toBeGreaterThan(0)
          maskModel(model, found, plan)
          const masked = await run(model)
          unmaskModel(model)
          const small = await sliceModel(model, image.shape, plan, { residual })
          const sliced = await run(small)
          expect(relativeError(sliced, masked)).toBeLessThanOrEqual(1e-4)
          freeModel(small)
        }
        freeModel(model)
      }, 120_000)
    }
  }
})

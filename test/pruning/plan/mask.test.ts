// Arguments of masks and slices in another order, or of another model, are refused by name.
import { expect, test } from 'vitest'
import { ViT } from '../../../models/vit.ts'
import { InputError, maskModel, sliceModel, units } from '../../../src/index.ts'
import { withoutDevice } from '../../../src/core/tensor.ts'
import { sliceShapes } from '../../../src/pruning/plan/slice.ts'

const vit = (depth: number) =>
  withoutDevice(() => new ViT({ image: 16, patch: 4, width: 16, depth, heads: 2, hidden: 24, classes: 4 }))
const model = vit(1), shape = [1, 3, 16, 16]
const found = withoutDevice(() => units(model, shape)), plan = new Map<string, Uint8Array>()

const loose = (call: unknown) => call as (...args: unknown[]) => unknown

test.each([
  [
    'maskModel(model, plan)',
    loose(maskModel),
    [model, plan],
    /^maskModel: found is a Map, expected.*\(model, found, p/,
  ],
  ['no plan', loose(maskModel), [model, found], /^maskModel: plan is missing, expected a Map/],
  ['swapped', loose(maskModel), [model, plan, found], /^maskModel: found is a Map/],
  ['names for units', loose(maskModel), [model, ['a'], plan], /^maskModel: found is a list of something else/],
  ['an object', loose(maskModel), [model, found, { a: [1] }], /^maskModel: plan is an object/],
  ['another model', loose(maskModel), [model, withoutDevice(() => units(vit(2), shape)), plan], /'blocks\.1\..*lacks/],
  ['sliceShapes', loose(sliceShapes), [model, plan], /^sliceShapes: found is a Map/],
])('%s', (_, call, args, message) => {
  let error: unknown
  try {
    call(...args)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(InputError)
  expect((error as Error).message).toMatch(message)
})

test('sliceModel with its arguments in another order', async () => {
  await expect(loose(sliceModel)(model, plan)).rejects.toThrow(/^sliceModel: inputShape is a Map/)
  await expect(loose(sliceModel)(model, shape, found)).rejects.toThrow(/^sliceModel: plan is a list/)
  await expect(loose(sliceModel)(model, shape, found)).rejects.toBeInstanceOf(InputError)
})

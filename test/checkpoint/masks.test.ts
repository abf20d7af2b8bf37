// Masks of gates in files: taken out, checked against the network, put on its gates.
import { expect, test } from 'vitest'
import { ViT } from '../../models/index.ts'
import { InputError } from '../../src/base/errors.ts'
import { checkMasks, masksOf, putMasks, takeMasks } from '../../src/checkpoint/masks.ts'
import { withoutDevice } from '../../src/core/tensor.ts'
import { describeDevice } from '../support/device.ts'

const options = { image: 16, patch: 8, width: 8, depth: 1, heads: 2, hidden: 12, classes: 4 }
const host = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5) })
const heads = 'blocks.0.attention.heads.mask'

test('masks are taken out of the tensors by the gates of the network', () => {
  const model = withoutDevice(() => new ViT(options)), weight = host(2)
  const tensors = new Map([[heads, host(2)], ['other.mask', weight]])
  expect([...takeMasks(model, tensors).keys()]).toEqual([heads])
  expect([...tensors.keys()]).toEqual(['other.mask'])
})

test('a mask has the sizes of its gate, or a row per class', () => {
  const model = withoutDevice(() => new ViT(options))
  const check = (...shape: number[]) => () => checkMasks(model, new Map([[heads, host(...shape)]]), [3, 16, 16])
  expect(check(2)).not.toThrow()
  expect(check(5, 2)).not.toThrow()
  for (const shape of [[3], [2, 3], [5, 5, 2], [0, 2]]) expect(check(...shape), String(shape)).toThrow(InputError)
  expect(check(3)).toThrow(`mask '${heads}' is [3], expected [2] or [classes,2]; it is of another network`)
})

describeDevice('masks', () => {
  test('are put on their gates and read off them', async () => {
    const model = new ViT(options)
    expect(masksOf(model).size).toBe(0)
    putMasks(model, new Map([[heads, host(2)]]))
    const found = masksOf(model)
    expect([...found.keys()]).toEqual([heads])
    expect([...await found.get(heads)!.data()]).toEqual([0.5, 0.5])
    expect(() => putMasks(model, new Map([['nowhere.mask', host(2)]]))).toThrow(
      "mask 'nowhere.mask': the model has no such gate",
    )
  })
})

import { expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { checkLabels } from '../../src/data/labels.ts'

const data = (...labels: number[]) => ({
  name: 'set',
  labels: Int32Array.from(labels),
  nameOf: (i: number) => `picture ${i}`,
})

test('labels of the classes there are pass', () => checkLabels('prune', data(0, 2, 1), 3))

test.each([3, -1])('%d of three classes is refused with the name of the picture, counted from the first', (label) => {
  expect(() => checkLabels('prune', data(0, label), 3, 10)).toThrow(InputError)
  expect(() => checkLabels('prune', data(0, label), 3, 10)).toThrow(
    new RegExp(`^prune: .*picture 11.* has label ${label}, the network tells 3 classes apart; expected 0 to 2$`),
  )
})

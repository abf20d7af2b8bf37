import { test } from 'vitest'
import { max, mean, min, norm, sum, variance } from '../../src/ops/reduce.ts'
import { checkOp } from '../check-op.ts'
import { describeDevice } from '../device.ts'
import { random } from '../reference/nd.ts'
import { reference } from '../reference/references.ts'

const ops = { sum, mean, max, min, variance, norm }
type Name = keyof typeof ops

const cases: [number[], number[] | undefined][] = [
  [[5], undefined], [[3, 7], [1]], [[3, 7], [0]], [[17, 65], [-1]], [[65, 17], [0]], [[33, 8], [0]], [[4, 3, 5], [0, 2]], [[2, 3, 4, 5], [1, 3]],
  [[2, 5, 3, 7], [0, 2, 3]], [[2, 3, 4], []], [[1, 6, 1], [0, 2]], [[], undefined], [[300, 3], [1]], [[1, 64], [0]],
]

describeDevice('reduce', () => {
  test.each(Object.keys(ops) as Name[])('%s', async (name) => {
    for (const [shape, axes] of cases) {
      for (const keep of [false, true]) {
        await checkOp({ call: (x) => ops[name](x, { axes, keep }), reference: (x) => reference(name, [x], { axes, keepdim: keep }), args: [random(11, shape)], samples: 10 })
      }
    }
  })
})

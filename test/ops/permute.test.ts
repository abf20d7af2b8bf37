import { test } from 'vitest'
import { permute } from '../../src/ops/permute.ts'
import { checkOp } from '../check-op.ts'
import { describeDevice } from '../device.ts'
import { random } from '../reference/nd.ts'
import { reference } from '../reference/references.ts'

describeDevice('permute', () => {
  test('permute', async () => {
    const cases: [number[], number[]][] = [[[5], [0]], [[3, 7], [1, 0]], [[2, 3, 8], [1, 0, 2]], [[2, 3, 5], [1, 0, 2]], [[2, 3, 4, 5], [0, 2, 3, 1]], [[2, 3, 4, 8], [2, 0, -3, 3]],
      [[2, 3, 2, 3, 2], [4, 2, 0, 3, 1]], [[2, 3, 2, 3, 2, 4], [4, 2, 0, 3, 1, 5]], [[1, 1, 6], [2, 0, 1]]]
    for (const [shape, order] of cases) {
      const front = order.map((axis) => (axis + shape.length) % shape.length)
      await checkOp({ call: (x) => permute(x, { order }), reference: (x) => reference('permute', [x], { order: front }), args: [random(12, shape)], samples: 20 })
    }
  })
})

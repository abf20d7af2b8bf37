import { expect, test } from 'vitest'
import { ShapeError } from '../../src/errors.ts'
import { matmul } from '../../src/ops/matmul.ts'
import { tensor, type Tensor } from '../../src/tensor.ts'
import { checkOp, checkRaces, toTensor } from '../check-op.ts'
import { describeDevice } from '../device.ts'
import { random } from '../reference/nd.ts'
import * as reference from '../reference/matmul.ts'

const both = [false, true]

describeDevice('matmul', () => {
  for (const [M, K, N] of [[1, 1, 1], [3, 5, 7], [17, 33, 65], [8, 64, 16], [65, 4, 12], [5, 130, 3]]) {
    for (const transposeA of both) for (const transposeB of both) {
      test(`${M}x${K}x${N}${transposeA ? ' a transposed' : ''}${transposeB ? ' b transposed' : ''}`, async () => {
        const options = { transposeA, transposeB }
        await checkOp({
          call: (a, b) => matmul(a, b, options), reference: (a, b) => reference.matmul(a, b, options),
          args: [random(1, transposeA ? [K, M] : [M, K]), random(2, transposeB ? [N, K] : [K, N])], samples: 12 })
      })
    }
  }

  const batches: [string, number[], number[]][] = [
    ['equal batches', [2, 3, 4, 5], [2, 3, 5, 6]], ['one matrix for all', [2, 3, 4, 5], [5, 6]], ['a shared', [4, 5], [3, 5, 8]],
    ['crossed', [2, 1, 4, 5], [1, 3, 5, 6]], ['alternating over four axes', [2, 1, 3, 1, 4, 4], [1, 2, 1, 2, 4, 4]],
  ]
  for (const [name, a, b] of batches) {
    for (const transposeA of both) for (const transposeB of both) {
      test(`${name}${transposeA ? ' a transposed' : ''}${transposeB ? ' b transposed' : ''}`, async () => {
        const options = { transposeA, transposeB }
        const swap = (shape: number[], yes: boolean) => yes ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape
        await checkOp({
          call: (x, y) => matmul(x, y, options), reference: (x, y) => reference.matmul(x, y, options),
          args: [random(3, swap(a, transposeA)), random(4, swap(b, transposeB))], samples: 12 })
      })
    }
  }

  test('no races', () => {
    const [a, b] = [toTensor(random(1, [5, 6])), toTensor(random(2, [6, 7]))]
    checkRaces(() => { matmul(a, b) })
  })

  test('says what does not fit', () => {
    const wrong = (a: Tensor, b: Tensor, options = {}) => expect(() => matmul(a, b, options)).toThrow(ShapeError)
    const make = (...shape: number[]) => tensor(new Float32Array(shape.reduce((x, y) => x * y, 1)), shape)
    wrong(make(2, 3), make(4, 5))
    wrong(make(2, 3), make(3, 5), { transposeB: true })
    wrong(make(3), make(3, 5))
    wrong(make(2, 2, 3), make(3, 3, 5))
  })
})

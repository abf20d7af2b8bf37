import { expect, test } from 'vitest'
import { scatter } from '../../src/ops/scatter.ts'
import { tensor } from '../../src/index.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('scatter', () => {
  test('slices go to their places, zeros elsewhere; the index has an entry for each', async () => {
    const x = tensor([[1, 2, 3], [4, 5, 6]]), positions = [4, 0, 2], index = tensor(Uint32Array.from(positions))
    const out = scatter(x, index, { axis: -1, width: 5, positions })
    expect(out.shape).toEqual([2, 5])
    expect([...await out.data()]).toEqual([2, 0, 3, 0, 1, 5, 0, 6, 0, 4])
    expect(() => scatter(x, index, { axis: 0, width: 5, positions })).toThrow(/scatter: 3 positions for axis 0/)
  })
})

import { expect, test } from 'vitest'
import { accumulate } from '../../src/core/accumulate.ts'
import { full } from '../../src/core/fill.ts'
import { tensor } from '../../src/core/tensor.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('accumulate', () => {
  test('adds in place only where nobody else looks', async () => {
    const target = tensor([0, 0, 0]), map = new Map()
    const first = tensor([1, 2, 3]), shared = first.view([3])
    accumulate(map, target, shared)
    accumulate(map, target, full([3], 10))
    expect([...await map.get(target).data()]).toEqual([11, 12, 13])
    expect([...await first.data()]).toEqual([1, 2, 3])
  })
})

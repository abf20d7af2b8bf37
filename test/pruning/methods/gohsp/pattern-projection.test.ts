// ADMM onto a sparsity pattern: the nearest point against plain loops, and what it finds written down and read again.
import { expect, test } from 'vitest'
import { tensor } from '../../../../src/core/tensor.ts'
import { disposeTree } from '../../../../src/core/tree.ts'
import { Admm } from '../../../../src/pruning/methods/gohsp/admm.ts'
import { PatternProjection } from '../../../../src/pruning/methods/gohsp/pattern-projection.ts'
import { chooseEntries } from '../../../../src/sparse/choose.ts'
import { patternOf } from '../../../../src/sparse/registry.ts'
import { describeDevice } from '../../../support/device.ts'
import { random } from '../../../reference/nd.ts'

const options = { rho: 1, growth: 1.25, cap: 10, every: 0, tolerance: 0, duals: true }

describeDevice('projections onto a pattern', () => {
  test('blocks with the largest sums of squares of W + U stay, over the edge too', async () => {
    const rows = 6, columns = 9, block = 4, values = Float32Array.from(random(1, [rows, columns]).data)
    const model = { a: tensor(values, [rows, columns]) }
    const site = { path: 'a', paths: ['a'], outputs: [rows], inputs: [columns], matrix: [rows, columns] as const }
    const pattern = patternOf(`block:${block}x${block}`)
    const projection = new PatternProjection(
      model as never,
      [site],
      (scores) => chooseEntries([site], scores, pattern, { density: 0.5, ranking: 'per-unit' }),
    )
    const admm = new Admm(projection, options)
    await admm.start()
    const U = Float32Array.from(random(2, [rows, columns]).data)
    const { anchors, duals } = admm.hook().tensors as Record<'anchors' | 'duals', ReturnType<typeof tensor>[]>
    duals[0].write(U)
    await admm.hook().afterEpoch!({} as never)
    const blockOf = (i: number) => 3 * Math.floor(Math.floor(i / columns) / block) + Math.floor(i % columns / block)
    const sums = new Float64Array(6)
    values.forEach((value, i) => sums[blockOf(i)] += (value + U[i]) ** 2)
    const best = [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, 3)
    const [anchor, dual] = [await anchors[0].data(), await duals[0].data()]
    values.forEach((value, i) => {
      const stays = best.includes(blockOf(i)), moved = value + U[i]
      expect(projection.keep.get('a')![i], `entry ${i}`).toBe(Number(stays))
      expect(anchor[i] + dual[i], `Z ${i}`).toBeCloseTo(stays ? moved : 0, 5)
      expect(dual[i], `U ${i}`).toBeCloseTo(stays ? 0 : moved / 1.25, 5) // rho grew, rho U did not
    })
    const saved = JSON.parse(JSON.stringify(projection.save())) as unknown, before = projection.keep.get('a')
    projection.keep = new Map()
    projection.load(saved)
    expect(projection.keep.get('a')).toEqual(before) // 54 flags, four to a digit
    admm.dispose()
    disposeTree(model)
  })
})

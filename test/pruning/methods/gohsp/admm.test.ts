// ADMM: the worked step of the paper's file, its penalty and gradient, projections against plain loops, and that
// nothing but projections moves Z and U.
import { expect, test } from 'vitest'
import { type Tensor, tensor } from '../../../../src/core/tensor.ts'
import { valueAndGrad } from '../../../../src/core/transform.ts'
import { disposeTree } from '../../../../src/core/tree.ts'
import type { Model } from '../../../../src/nn/model.ts'
import { Admm, type AdmmOptions, GroupProjection, pull } from '../../../../src/pruning/methods/gohsp/admm.ts'
import { type Group, groupsOf } from '../../../../src/pruning/methods/gohsp/groups.ts'
import { hostWeights, type Plan } from '../../../../src/pruning/plan/slice.ts'
import { rank } from '../../../../src/pruning/plan/select.ts'
import type { Scores } from '../../../../src/pruning/scores/criterion.ts'
import { chooseUnits } from '../../../../src/pruning/units/kinds.ts'
import { type Unit, units } from '../../../../src/pruning/units/units.ts'
import { fit } from '../../../../src/train/fit.ts'
import { describeDevice } from '../../../support/device.ts'
import { random } from '../../../reference/nd.ts'
import { digitSwin, digitViT, openDigits } from '../../../support/digits.ts'

const near = (found: ArrayLike<number>, expected: ArrayLike<number>, digits = 6) => {
  expect(found).toHaveLength(expected.length)
  for (let i = 0; i < expected.length; i++) expect(found[i], `entry ${i}`).toBeCloseTo(expected[i], digits)
}
const unit = (name: string, size: number) => ({ name, size, shape: [size] }) as Unit
/** The largest `count` of each unit. */
const largest = (count: number) => (norms: Scores): Plan =>
  new Map([...norms].map(([name, values]) => {
    const order = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, count)
    return [name, Uint8Array.from(values, (_, i) => Number(order.includes(i)))]
  }))
const options = (more: Partial<AdmmOptions> = {}): AdmmOptions => ({
  rho: 0.01,
  growth: 1,
  cap: 1,
  every: 0,
  tolerance: 0,
  duals: true,
  ...more,
})
const grouped = (groups: readonly Group[], more: Partial<AdmmOptions> = {}, supportOf = largest(2)) =>
  new Admm(new GroupProjection(groups, supportOf), options(more))
type Kept = { anchors: Tensor[], duals: (Tensor | null)[] }
const kept = (admm: Admm) => admm.hook().tensors as Kept
const step = (admm: Admm) => admm.hook().afterEpoch!({} as never)
const sumOf = async (a: Tensor, b: Tensor) => {
  const [x, y] = [await a.data(), await b.data()]
  return x.map((value, i) => value + y[i])
}
/** A matrix of 2-vectors as first layer's rows, and as rows of a first and columns of a second layer. */
const layouts: Record<string, (rows: number[][]) => [values: number[], shape: number[], axis: number][]> = {
  'rows of one weight': (rows) => [[rows.flat(), [4, 2], 0]],
  'a row of one and a column of another weight': (rows) => [
    [rows.map(([a]) => a), [4, 1], 0],
    [rows.map(([, b]) => b), [1, 4], 1],
  ],
}

describeDevice('admm', (adapter) => {
  test.each(Object.keys(layouts))('the worked step, %s', async (name) => {
    const layout = layouts[name], W = [[3, 0], [0, 1], [.5, .5], [2, -1]], U = [[0, 0], [0, .8], [0, 0], [-.5, .5]]
    const members = layout(W).map(([values, shape, axis], i) => ({
      path: String(i),
      weight: tensor(Float32Array.from(values), shape),
      axis,
      element: [0, 1, 2, 3],
    }))
    const groups: Group[] = [{ unit: unit('hidden', 4), members }]
    const admm = grouped(groups), { anchors, duals } = kept(admm)
    await admm.start()
    expect([...admm.projection.support.get('hidden')!], 'by W alone').toEqual([1, 0, 0, 1])
    layout(U).forEach(([values], i) => duals[i]!.write(Float32Array.from(values)))
    near(
      await admm.projection.norms(admm.pulled).then((norms) => norms.get('hidden')!),
      [9, 3.24, 0.5, 2.5].map(Math.sqrt),
    )
    await step(admm)
    expect([...admm.projection.support.get('hidden')!]).toEqual([1, 1, 0, 0])
    for (const [i, [z]] of layout([[3, 0], [0, 1.8], [0, 0], [0, 0]]).entries()) {
      near(await sumOf(anchors[i], duals[i]!), z)
    }
    for (const [i, [u]] of layout([[0, 0], [0, 0], [.5, .5], [1.5, -.5]]).entries()) near(await duals[i]!.data(), u)
    const weights = members.map(({ weight }) => weight)
    const [value, gradients] = valueAndGrad((_: { weights: Tensor[] }) => admm.penalty())({ weights })
    expect(await value.item()).toBeCloseTo(0.0857, 6)
    for (const [i, [g]] of layout([[0, 0], [0, -.008], [.01, .01], [.035, -.015]]).entries()) {
      near(await gradients.weights[i]!.data(), g)
    }
    // |W - Z| and |W|: [0, 0], [0, -.8], [.5, .5], [2, -1] of 15.5 squared.
    expect(admm.residuals.primal).toBeCloseTo(Math.sqrt((.64 + .5 + 5) / 15.5), 6)
    expect(admm.residuals.units.get('hidden')).toBeCloseTo(admm.residuals.primal, 9)
    admm.dispose()
    disposeTree([weights, value, gradients])
  })

  test('the gradient of the penalty against central differences; what is to go alone, without duals', async () => {
    const W = random(1, [3, 4]).data, anchor = random(2, [3, 4]).data, rho = 0.3
    const plain = (w: ArrayLike<number>) => {
      let sum = 0
      for (let i = 0; i < w.length; i++) sum += (w[i] - anchor[i]) ** 2
      return rho / 2 * sum
    }
    const weight = tensor(Float32Array.from(W), [3, 4]), fixed = tensor(Float32Array.from(anchor), [3, 4])
    const rate = tensor([rho])
    const [value, { x }] = valueAndGrad((given: { x: Tensor }) => pull([{ weight: given.x, anchor: fixed }], rate))({
      x: weight,
    })
    expect(await value.item()).toBeCloseTo(plain(W), 5)
    near(
      await x!.data(),
      Array.from(W, (_, i) => {
        const moved = (by: number) => plain(W.map((each, j) => j === i ? each + by : each))
        return (moved(1e-5) - moved(-1e-5)) / 2e-5
      }),
      5,
    )
    const groups: Group[] = [{ unit: unit('a', 3), members: [{ path: 'w', weight, axis: 0, element: [2, 0, -1] }] }]
    const admm = grouped(groups, { duals: false, rho }, () => new Map([['a', Uint8Array.of(1, 1, 0)]]))
    await admm.start()
    const [soft, gradient] = valueAndGrad((given: { weight: Tensor }) => (given.weight, admm.penalty()))({ weight })
    const gone = Array.from(W, (each, i) => i < 4 ? each : 0) // index 0 is element 2, which goes; index 2 is of none
    expect(await soft.item()).toBeCloseTo(rho / 2 * gone.reduce((sum, each) => sum + each ** 2, 0), 5)
    near(await gradient.weight!.data(), gone.map((each) => rho * each), 5)
    admm.dispose()
    disposeTree([weight, fixed, rate, value, x, soft, gradient])
  })

  if (adapter !== 'cpu') return // larger networks, the same ops

  test.each<[string, () => Model]>([['ViT', digitViT], ['Swin', digitSwin]])(
    'projections of a %s against plain loops, biases in their group',
    async (_, make) => {
      const model = make(), chosen = chooseUnits(units(model, [1, 1, 28, 28])), groups = groupsOf(model, chosen)
      for (const { unit: { kind, name }, members } of groups) {
        const paths = members.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)).sort()
        expect(paths, name).toEqual(
          kind === 'heads'
            ? ['key', 'keyBias', 'out', 'query', 'queryBias', 'value', 'valueBias']
            : ['bias', 'weight', 'weight'],
        )
      }
      const fixed = new Map(chosen.map(({ name, size }, i) => [name, Float32Array.from(random(i, [size]).data)]))
      const heads = chosen.filter(({ kind }) => kind === 'heads'), rest = chosen.filter(({ kind }) => kind !== 'heads')
      const supportOf = (norms: Scores) =>
        new Map([
          ...rank(heads, fixed, { minimum: 1 }).plan(3),
          ...rank(rest, norms, { ranking: 'per-unit', multipleOf: 1 }).plan(20),
        ])
      const admm = grouped(groups, { rho: 1, growth: 1.25, cap: 10 }, supportOf)
      await admm.start()
      const { anchors, duals } = kept(admm),
        all = groups.flatMap(({ unit: { name }, members }) => members.map((member) => ({ name, ...member })))
      const drawn = all.map(({ weight }, i) => Float32Array.from(random(50 + i, weight.shape, 0.1).data))
      duals.forEach((dual, i) => dual!.write(drawn[i]))
      await step(admm)
      const host = await hostWeights(model),
        norms = new Map(chosen.map(({ name, size }) => [name, new Float64Array(size)]))
      const each = (i: number, visit: (at: number, element: number) => void) => {
        const { weight: { shape, size }, axis, element } = all[i]
        const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1)
        for (let at = 0; at < size; at++) visit(at, element[Math.floor(at / inner) % shape[axis]])
      }
      all.forEach(({ name, path }, i) =>
        each(i, (at, element) => {
          norms.get(name)![element] += (host.get(path)!.data![at] + drawn[i][at]) ** 2
        })
      )
      const expected = supportOf(
        new Map([...norms].map(([name, values]) => [name, Float32Array.from(values, Math.sqrt)])),
      )
      expect(admm.projection.support).toEqual(expected)
      expect([...expected.values()].reduce((sum, keep) => sum + keep.filter((flag) => !flag).length, 0)).toBe(23)
      for (const [i, { name, path }] of all.entries()) {
        const z = await sumOf(anchors[i], duals[i]!), u = await duals[i]!.data(), keep = expected.get(name)!
        each(i, (at, element) => {
          const moved = host.get(path)!.data![at] + drawn[i][at]
          if (Math.abs(z[at] - (keep[element] ? moved : 0)) > 1e-6) expect.fail(`${path} ${at}: Z is ${z[at]}`)
          // rho went from 1 to 1.25, and rho U stays what it is.
          const dual = keep[element] ? 0 : moved / 1.25
          if (Math.abs(u[at] - dual) > 1e-6) expect.fail(`${path} ${at}: U is ${u[at]}, expected ${dual}`)
        })
      }
      admm.dispose()
      disposeTree(model)
    },
  )

  test('training moves W alone: Z and U are what projections make of them, whatever decays', async () => {
    const data = await openDigits(0, 59)
    const model = digitViT(), groups = groupsOf(model, chooseUnits(units(model, [1, 1, 28, 28])))
    const admm = grouped(groups, { rho: 1, growth: 2, cap: 3, every: 2, tolerance: 1 })
    await admm.start()
    const { anchors } = kept(admm), residuals: number[] = []
    const seen: string[] = [], read = async () => JSON.stringify([...await anchors[0].data()])
    const before = await read()
    const state = await fit(model, data, {
      epochs: 5,
      batch: 20,
      classes: 10,
      rate: 1e-3,
      decay: 20,
      penalty: () => admm.penalty(),
      hooks: [admm.hook(), {
        name: 'watch',
        async afterStep() {
          seen.push(await read())
        },
        afterEpoch() {
          residuals.push(admm.measured().rho)
        },
      }],
    })
    // Every two steps and at the end of the epoch; after one epoch the residual is below 1.
    expect([seen[0] === before, seen[1] === before, seen[2] === seen[1]]).toEqual([true, false, true])
    expect(residuals).toEqual([3])
    expect([state.finished, state.epoch]).toEqual([true, 1])
    admm.dispose()
    disposeTree(model)
  })
})

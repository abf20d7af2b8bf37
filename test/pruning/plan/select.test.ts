// Order, rates, rounding and budgets; areas of curves. Worked numbers for the definitions of Pruning by
// eXplaining (arXiv 2408.12568).
import { describe, expect, test } from 'vitest'
import { InputError, ShapeError } from '../../../src/base/errors.ts'
import { atChance, meanAndError, meanArea, parseRates, topRate, trapezoidArea } from '../../../src/pruning/curve.ts'
import { countAt, keptOf, narrowerThan, onlyCuts, rank, withinBudget } from '../../../src/pruning/plan/select.ts'
import type { Unit } from '../../../src/pruning/units/units.ts'
import { relativeError } from '../../reference/nd.ts'

const unit = (name: string, shape: number[], step: number | null = null): Unit => ({
  name,
  shape,
  size: shape.reduce((a, b) => a * b, 1),
  outer: null,
  gates: [],
  scattered: [],
  members: [],
  exact: true,
  prunable: true,
  branchLocal: false,
  kind: 'neurons',
  step,
})
const flags = (plan: ReadonlyMap<string, Uint8Array>) =>
  Object.fromEntries([...plan].map(([name, keep]) => [name, [...keep].join('')]))
const exactly = { multipleOf: 1, minimum: 0 }

describe('rank', () => {
  const units = [unit('L1', [3]), unit('L2', [2])]
  const scores = (...values: number[]) =>
    new Map([['L1', Float32Array.from(values.slice(0, 3))], ['L2', Float32Array.from(values.slice(3))]])

  test.each(
    [
      ['signed', [0.3, 0, 0.02, 0.3, -0.01], { L1: '101', L2: '10' }],
      ['abs of mean', [0.3, 0, 0.02, 0.3, 0.01], { L1: '101', L2: '10' }],
      ['mean of abs', [0.3, 0.2, 0.03, 0.3, 0.39], { L1: '100', L2: '11' }],
    ] as const,
  )('%s at rate 0.4 takes two of five', (_, values, wanted) => {
    expect(flags(rank(units, scores(...values), exactly).at(0.4))).toEqual(wanted)
  })

  test('plans of higher rates contain those of lower ones; all goes in the end', () => {
    const ranking = rank(units, scores(0.5, 0.1, 0.4, 0.2, 0.3), exactly)
    let before = 5
    for (let count = 0; count <= 5; count++) {
      const plan = ranking.plan(count)
      expect(keptOf(plan)).toBe(5 - count)
      expect(keptOf(plan)).toBeLessThanOrEqual(before)
      before = keptOf(plan)
    }
    expect(flags(ranking.plan(3))).toEqual({ L1: '101', L2: '00' })
    expect([...onlyCuts(ranking.plan(1)).keys()]).toEqual(['L1'])
  })

  test('ties go in the order of the network', () => {
    expect(flags(rank(units, scores(1, 1, 1, 1, 1), exactly).plan(2))).toEqual({ L1: '001', L2: '11' })
  })

  test('per unit the same share of every unit goes', () => {
    const two = [unit('a', [4]), unit('b', [8])]
    const far = new Map([['a', Float32Array.of(1, 2, 3, 4)], [
      'b',
      Float32Array.from({ length: 8 }, (_, i) => 100 + i),
    ]])
    expect(flags(rank(two, far, { ...exactly, ranking: 'per-unit' }).at(0.5))).toEqual({ a: '0011', b: '00001111' })
    expect(flags(rank(two, far, exactly).at(0.5))).toEqual({ a: '0000', b: '00111111' })
  })

  test('widths are rounded to multiples, the best of what would go staying; whole heads are not rounded', () => {
    const wide = [unit('mlp.hidden', [10]), unit('attention.heads', [3], 1)]
    const both = new Map([['mlp.hidden', Float32Array.from({ length: 10 }, (_, i) => i)], [
      'attention.heads',
      Float32Array.of(-1, 50, 60),
    ]])
    expect(flags(rank(wide, both, { multipleOf: 4 }).plan(4))).toEqual({
      'mlp.hidden': '0011111111',
      'attention.heads': '011',
    })
    expect(flags(rank(wide, both, { multipleOf: 4 }).plan(13))).toEqual({
      'mlp.hidden': '0000001111',
      'attention.heads': '001',
    })
    expect(flags(rank(wide, both, { multipleOf: 4, minimum: 2 }).plan(13))).toEqual({
      'mlp.hidden': '0000001111',
      'attention.heads': '011',
    })
  })

  test.each(
    [
      ['stages.0.0.inner.0', [16], 64, 16], // filters
      ['blocks.0.mlp.hidden', [30], 32, 30], // neurons
      ['blocks.0.attention.qk', [3, 16], 32, 48], // channels of every head
      ['blocks.0.attention.values', [2, 6], 8, 12],
      ['stream', [24], 32, 24],
      ['blocks.0.attention.heads', [12], 64, 1], // whole heads are not rounded
      ['stages.0.0.inner.0', [16], 16, 16], // one multiple is all there is
      ['blocks.0.mlp.hidden', [40], 16, 16], // one multiple at least
      ['blocks.0.attention.values', [2, 20], 8, 16],
    ] as const,
  )('%s of %j at multiples of %i keeps %i however much is asked to go', (name, shape, multipleOf, least) => {
    const only = unit(name, [...shape], name.endsWith('heads') ? 1 : null),
      scores = new Map([[name, Float32Array.from({ length: only.size }, (_, i) => i)]])
    const ranking = rank([only], scores, { multipleOf })
    expect(keptOf(ranking.plan(only.size))).toBe(least)
    for (let count = 0; count <= only.size; count++) {
      const kept = keptOf(ranking.plan(count)), step = name.endsWith('heads') ? 1 : multipleOf
      expect(kept === only.size || kept / (shape.length > 1 ? shape[0] : 1) % step === 0).toBe(true)
    }
    expect(narrowerThan([only], multipleOf)).toEqual(least === only.size && shape.at(-1)! < multipleOf ? [only] : [])
  })

  test('a minimum is rounded up to a multiple; without one all may go, but nothing between', () => {
    const two = [unit('a.hidden', [16]), unit('b.hidden', [6])]
    const rising = new Map(two.map(({ name, size }) => [name, Float32Array.from({ length: size }, (_, i) => i)]))
    const kept = (options: object, count: number) =>
      [...rank(two, rising, options).plan(count).values()].map((keep) => keep.reduce((a, b) => a + b, 0))
    expect(kept({ multipleOf: 8, minimum: 9 }, 22)).toEqual([16, 6])
    expect(kept({ multipleOf: 4, minimum: 5 }, 22)).toEqual([8, 6])
    expect(kept({ multipleOf: 8, minimum: 0 }, 22)).toEqual([0, 0])
    expect(kept({ multipleOf: 8, minimum: 0 }, 11)).toEqual([8, 6])
  })

  test('a stream that keeps an element for an early stage stays a multiple', () => {
    const members = [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]].map((element, i) => ({
      path: `stage${i}`,
      axis: 0,
      element,
      outer: null,
    }))
    const stream = { ...unit('stream', [12]), members }
    const scores = new Map([['stream', Float32Array.from({ length: 12 }, (_, i) => i)]])
    expect(flags(rank([stream], scores, { multipleOf: 4 }).plan(8))).toEqual({ stream: '000101111111' })
  })

  test('what loses nothing keeps its odd width; a tensor with some of a unit keeps the best of those', () => {
    const odd = [unit('a.hidden', [29]), unit('b.hidden', [5])]
    const rising = new Map([['a.hidden', Float32Array.from({ length: 29 }, (_, i) => i)], [
      'b.hidden',
      Float32Array.from({ length: 5 }, (_, i) => 90 + i),
    ]])
    expect(keptOf(rank(odd, rising).plan(0))).toBe(34)
    const stage = {
      ...unit('stream', [6]),
      members: [{ path: 'stem', axis: 0, element: [1, 2], outer: null }, {
        path: 'last',
        axis: 0,
        element: [0, 1, 2, 3, 4, 5],
        outer: null,
      }],
    }
    const late = new Map([['stream', Float32Array.of(5, 1, 2, 6, 7, 8)]])
    expect(flags(rank([stage], late, { multipleOf: 1 }).plan(4))).toEqual({ stream: '001011' })
    expect(flags(rank([stage], late, { multipleOf: 1, minimum: 0 }).plan(4))).toEqual({ stream: '000011' })
  })

  test('heads keep channels of their own, all the same count', () => {
    const values = new Map([['values', Float32Array.of(5, 1, 6, /**/ 2, 7, 8)]])
    expect(flags(rank([unit('values', [2, 3])], values, exactly).plan(2))).toEqual({ values: '101011' })
    // an odd one does not go alone
    expect(flags(rank([unit('values', [2, 3])], values, exactly).plan(3))).toEqual({ values: '101011' })
  })

  test('scores of another length are refused', () => {
    expect(() => rank(units, new Map([['L1', new Float32Array(3)]]))).toThrow(ShapeError)
  })
})

describe('budgets', () => {
  const ranking = rank([unit('a', [100])], new Map([['a', Float32Array.from({ length: 100 }, (_, i) => i)]]), {
    multipleOf: 4,
  })
  test('the shortest way along the order that meets it', () => {
    const { plan } = withinBudget(ranking, keptOf, 51, 'elements')
    expect(keptOf(plan)).toBe(48)
    expect(keptOf(withinBudget(ranking, keptOf, 100, 'elements').plan)).toBe(100)
  })
  test('a budget out of reach names what is within', () => {
    expect(() => withinBudget(ranking, keptOf, 0.5, 'elements')).toThrow(InputError)
    expect(() => withinBudget(ranking, keptOf, 0.5, 'elements')).toThrow(/4 are left/)
  })
})

describe('curves', () => {
  const rates = parseRates('0:0.95:0.05'),
    accuracies = [...new Array<number>(10).fill(0.9), 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1]
  test('the worked curve: A_PR 0.675, trapezoid 0.650, Top-PR 0.45', () => {
    expect(rates).toHaveLength(20)
    expect(meanArea(accuracies)).toBeCloseTo(0.675, 9)
    expect(trapezoidArea(rates, accuracies)).toBeCloseTo(0.65, 9)
    expect(topRate(rates, accuracies, 0.9)).toBe(0.45)
  })
  test('counts in exact decimals', () => {
    for (let i = 0; i < 20; i++) expect(countAt(rates[i], 9216)).toBe(Math.floor(5 * i * 9216 / 100))
    expect(countAt(0.15, 20)).toBe(3)
  })
  test('rates as ranges and lists; nonsense is refused', () => {
    expect(parseRates('0:0.3:0.1')).toEqual([0, 0.1, 0.2, 0.3])
    expect(parseRates('0, 0.25,0.5')).toEqual([0, 0.25, 0.5])
    for (const text of ['', '0.5,0.1', '0:1:0.1', '0:0.5:0', '-0.1', 'a', '0.1,', '0:0.9:1e-9']) {
      expect(() => parseRates(text), text).toThrow(InputError)
    }
  })
  test('chance, within two standard errors', () => {
    expect(atChance(0.1, 10, 700)).toBe(true)
    expect(atChance(0.122, 10, 700)).toBe(true)
    expect(atChance(0.13, 10, 700)).toBe(false)
    expect(atChance(0, 1000, 150)).toBe(true)
    expect(atChance(1 / 150, 1000, 150)).toBe(false)
  })
  test('means and standard errors', () => {
    const { mean, error } = meanAndError([1, 2, 3, 4])
    expect(relativeError([mean, error], [2.5, Math.sqrt(5 / 3 / 4)])).toBeLessThan(1e-12)
    expect(meanAndError([3])).toEqual({ mean: 3, error: 0 })
  })
})

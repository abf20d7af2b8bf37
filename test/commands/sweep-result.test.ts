// Curves of points that several machines have measured.
import { expect, test } from 'vitest'
import { summarize } from '../../src/commands/sweep-result.ts'
import type { SweepSetup } from '../../src/commands/sweep-setup.ts'
import { methodOf } from '../../src/pruning/methods/index.ts'
import type { Point } from '../../src/sweeps/point.ts'

const rates = [0, 0.5], method = methodOf('random')
const run = (name: string, seed: number) => ({ name, seed, method, iterative: false, classes: undefined })
const point = (name: string, seed: number, rate: number, adapter: string | undefined, msPerImage: number): Point => ({
  method: name,
  seed,
  ...adapter !== undefined && { adapter, node: 'n1', versions: {} },
  rate,
  after: { top1: 1 - rate, images: 10, params: 10, macs: 100, msPerImage, timeShare: 1 - rate },
  how: 'sliced',
  kept: [],
})
const curvesOf = (names: string[], points: Point[]) =>
  summarize({
    runs: names.flatMap((name) => [run(name, 0), run(name, 1)]),
    rates,
    journal: { entries: points } as unknown as SweepSetup['journal'],
  })

test('accuracies of all adapters count, times are those of the one that most points are of', () => {
  const { curves: [{ adapter, points }], elsewhere } = curvesOf(['random'], [
    point('random', 0, 0, 'fast', 1),
    point('random', 1, 0, 'slow', 100),
    point('random', 0, 0.5, 'fast', 2),
    point('random', 1, 0.5, 'fast', 4),
  ])
  expect(adapter).toBe('fast')
  expect(points.map(({ msPerImage, timeShare, top1, seeds }) => ({ msPerImage, timeShare, top1, seeds }))).toEqual([
    { msPerImage: 1, timeShare: 1, top1: 1, seeds: 2 },
    { msPerImage: 3, timeShare: 0.5, top1: 0.5, seeds: 2 },
  ])
  expect(elsewhere).toEqual([
    'Times of random are those on fast; 1 of its 4 points were measured on another adapter and have no time in the '
    + 'curve.',
  ])
})

test('a rate of another adapter alone has no time; curves of different adapters are not to be compared', () => {
  const all = (name: string, adapter: string | undefined) =>
    rates.flatMap((rate) => [point(name, 0, rate, adapter, 1), point(name, 1, rate, adapter, 3)])
  const mixed = [...all('a', 'fast').slice(0, 3), ...all('b', 'slow')].concat(point('a', 1, 0.5, 'fast', 5))
  const { curves, elsewhere } = curvesOf(['a', 'b'], mixed)
  expect(curves.map(({ adapter }) => adapter)).toEqual(['fast', 'slow'])
  expect(elsewhere).toEqual(['Times of different curves cannot be compared, they were measured on fast (a); slow (b).'])
  const lone = curvesOf(['a'], [
    ...all('a', 'fast').slice(0, 2),
    point('a', 0, 0.5, 'slow', 9),
    point('a', 1, 0.5, 'old', 9),
  ])
  expect(lone.curves[0].points.map(({ msPerImage }) => msPerImage)).toEqual([2, undefined])
  // Folders of earlier versions do not say.
  const unsaid = curvesOf(['a'], all('a', undefined))
  expect(unsaid.elsewhere).toEqual([])
  expect(unsaid.curves[0]).not.toHaveProperty('adapter')
  expect(unsaid.curves[0].points[0].msPerImage).toBe(2)
})

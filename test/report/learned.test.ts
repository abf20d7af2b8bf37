// What reports and terminals show of stages that learnt and of masks of classes.
import { expect, test } from 'vitest'
import { duration } from '../../src/commands/dry-run.ts'
import { classMasksOf } from '../../src/commands/class-masks.ts'
import { textWidth } from '../../src/report/canvas.ts'
import { leanings, maskPicture, shared, strongest } from '../../src/report/class-masks.ts'
import { stageLines, stageSection } from '../../src/report/stages.ts'

const report = {
  classes: ['cat', 'dog', '<b>'],
  units: [
    { name: 'blocks.0.mlp.hidden', kind: 'neurons', values: [[1, -9, 2, 0, 0], [3, 1, 1, 1, 0], [3, 0, 0, 1, 2]] },
    { name: 'blocks.0.attention.heads', kind: 'heads', values: [[1, 1], [1, 1], [1, 1]] },
  ],
}

test('classes lean on layers as their masks say, and share their strongest units', () => {
  // means of |M|: 2.4, 1.2, 1.2 in the first layer; all alike in the second
  expect(leanings(report).map((row) => row.map((value) => Number(value.toFixed(3))))).toEqual([
    [1.414, 0],
    [-0.707, 0],
    [-0.707, 0],
  ])
  expect(strongest(report.units[0], 0, 2)).toEqual([1, 2])
  expect(shared(report)).toEqual([[1, 0.5, 0.5], [0.5, 1, 1], [0.5, 1, 1]])
  const picture = maskPicture(report, 'masks')
  expect(picture.width * picture.height * 3).toBe(picture.data.length)
  expect(new Set(picture.data).size).toBeGreaterThan(20)
})

test('a picture of few classes and layers is as wide as its words; rounding is no leaning', () => {
  const units = [{ name: 'a', kind: 'heads', values: [[1.001, 1], [1, 1.001]] }], small = { classes: ['x', 'y'], units }
  const longest = textWidth('right: share of the strongest fifth two classes have in common')
  expect(maskPicture(small, 'm').width).toBeGreaterThan(longest)
  const told = { ...units[0], values: [[1.0001, 1], [1, 1]] }
  expect(leanings({ classes: ['x', 'y'], units: [told] })).toEqual([[0], [0]])
})

test('masks are written with names and four digits, and what was kept', () => {
  const unit = { name: 'a', kind: 'heads', size: 2 } as never
  const masks = new Map([['a', { classes: 2, values: Float32Array.of(1, 0.123456, -2, 3) }]])
  expect(classMasksOf(masks, [unit], new Map([['a', Uint8Array.of(0, 1)]]), {
    classes: undefined,
    classCount: 2,
    digest: 'abc',
  }))
    .toEqual({
      network: 'abc',
      classes: ['class 0', 'class 1'],
      units: [{ name: 'a', kind: 'heads', values: [[1, 0.1235], [-2, 3]], kept: [1] }],
    })
})

test('stages: plots, rates of layers, a line each; names are escaped', () => {
  const curves = { 'rate': [0.1, 0.42], 'multiplier': [0, 1], 'blocks.0.<i>': [0.2, 0.5] }
  const stages = [{ name: 'thresholds', epochs: 2, images: 1200, losses: [2, 1], curves }]
  const html = stageSection(stages)!.text
  expect(html).toMatch(/thresholds: 2 epochs on 1,200 images/)
  expect(html).toMatch(/blocks\.0\.&lt;i&gt;<\/th><td>50\.0 %/)
  expect(html).not.toContain('<i>')
  expect(stageLines(stages)).toEqual(['thresholds: 2 epochs, loss █▁ 1.0000, rate ▁█ 0.420'])
  expect([stageSection([]), stageSection(undefined), stageLines([{ ...stages[0], losses: [] }])]).toEqual([
    null,
    null,
    [],
  ])
  expect([40, 700, 9000, 4e5].map(duration)).toEqual(['40 s', '12 min', '2.5 h', '4.6 days'])
})

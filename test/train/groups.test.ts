// Groups of parameters: who has which, and what a group leaves out.
import { expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { tensor, withoutDevice } from '../../src/core/tensor.ts'
import { type Moment, openGroups, type ParameterGroup, trainable } from '../../src/train/groups.ts'
import type { OptimizerOptions } from '../../src/train/optim.ts'

const defaults = { rate: 0.1, warmup: 1, decay: 0.05, clip: 3 }
const moment = (step: number): Moment => ({ step, steps: 10, epoch: 0, epochs: 1, stepsPerEpoch: 2 })
const model = withoutDevice(() => ({
  first: { weight: tensor(new Float32Array(6), [2, 3]), bias: tensor(new Float32Array(2)) },
  last: tensor(new Float32Array(4), [2, 2]),
}))
const extra = withoutDevice(() => ({ threshold: tensor(new Float32Array(1)), count: tensor(Int32Array.of(1)) }))

/** Opens groups and says what each optimiser was given. */
function opened(groups: readonly ParameterGroup[]) {
  const seen: OptimizerOptions[] = []
  const optimizer: ParameterGroup['optimizer'] = (_, options) => {
    seen.push(options)
    return { update: () => undefined } as never
  }
  const open = openGroups(model, extra, groups.map((group) => ({ optimizer, ...group })), defaults)
  return { open, seen, paths: open.map(({ parameters }) => [...parameters.keys()]) }
}

test('what can be trained: the parameters and the f32 tensors beside them', () => {
  expect([...trainable(model, extra).keys()]).toEqual(['first.weight', 'first.bias', 'last', 'extra.threshold'])
})

test('the first group that wants a parameter has it, the last has the rest', () => {
  const { paths } = opened([{ parameters: (path) => path.endsWith('bias') }, { parameters: [model.last] }, {}])
  expect(paths).toEqual([['first.bias'], ['last'], ['first.weight', 'extra.threshold']])
})

test('a frozen group takes its parameters out', () => {
  expect(opened([{ parameters: (path) => path.startsWith('first'), frozen: true }, {}]).paths).toEqual([[
    'last',
    'extra.threshold',
  ]])
})

test('a group that nothing is left for is refused, with what there is', () => {
  const groups = [{ parameters: [model.last] }, { name: 'heads', parameters: [model.last] }]
  expect(() => opened(groups)).toThrow(InputError)
  expect(() => opened(groups)).toThrow(
    'fit: heads has no parameters; expected some of first.weight, first.bias, extra.threshold',
  )
  expect(() => opened([{ rates: 1 } as never])).toThrow('group 1 of fit')
})

test('defaults, and the options of a group over them', () => {
  const { seen: [plain], open } = opened([{}])
  expect(plain).toMatchObject({ rate: 0.1, decay: 0.05, clip: 3 })
  expect(open[0]).toMatchObject({ name: 'group 0', ascent: false })
  const { seen: [own], open: [group] } = opened([{
    name: 'a',
    rate: 2,
    decay: 0,
    clip: 1,
    ascent: true,
    schedule: ({ step }) => step / 4,
  }])
  expect(own).toMatchObject({ rate: 2, decay: 0, clip: 1 })
  expect(group).toMatchObject({ name: 'a', ascent: true })
  expect(group.rateAt(moment(2))).toBe(0.5)
})

test('matrices decay, vectors and what is beside the model do not, unless said', () => {
  const decaying = (options: OptimizerOptions) =>
    [...trainable(model, extra)].filter(([path, parameter]) => options.decays!(path, parameter, {})).map(([path]) =>
      path
    )
  expect(decaying(opened([{}]).seen[0])).toEqual(['first.weight', 'last'])
  expect(decaying(opened([{ decays: (path) => path.endsWith('bias') }]).seen[0])).toEqual(['first.bias'])
})

test('without a schedule the rate rises over the warm-up and falls to nothing', () => {
  const [{ rateAt }] = opened([{}]).open
  expect(rateAt(moment(0))).toBeLessThan(0.1)
  expect(rateAt(moment(2))).toBeCloseTo(0.1, 6)
  expect(rateAt(moment(9))).toBeLessThan(0.02)
  expect(rateAt(moment(5))).toBeLessThan(rateAt(moment(4)))
})

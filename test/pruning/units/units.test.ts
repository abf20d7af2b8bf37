// Which units each architecture has, what goes together, what an element costs; reasons for what cannot be cut. No
// device is open.
import { describe, expect, test } from 'vitest'
import { type Architecture, buildModel, inputOf } from '../../../models/index.ts'
import { aboutUnits } from '../../../src/commands/unit-table.ts'
import { type Unit, type UnitOptions, units } from '../../../src/pruning/units/units.ts'
import { withoutDevice } from '../../../src/core/tensor.ts'
import { exact, inexact, Planted, unprunable } from '../../support/planted.ts'

function unitsOf(architecture: Architecture, options?: UnitOptions) {
  const model = withoutDevice(() => buildModel(architecture)), input = inputOf(architecture)
  const found = units(model, [1, ...input], options)
  return {
    model,
    input,
    found,
    kinds: new Map(found.map(({ name, kind }) => [name, kind])),
    named: (name: string) => found.find((unit) => unit.name === name)!,
  }
}

const members = (unit: Unit) => unit.members.map(({ path, axis }) => `${path} ${axis}`)
const total = (list: readonly Unit[]) => list.reduce((sum, { size }) => sum + size, 0)

describe('counts of what can be cut exactly', () => {
  // PxP's counts: filters with stem and downsample convolutions, hidden neurons, heads; then query-key and value
  // channels.
  const heads = (depth: number, count: number, dim: number) => ({
    'heads': depth * count,
    'query-key': depth * count * dim,
    'values': depth * count * dim,
  })
  const swin = {
    'heads': 2 * 3 + 2 * 6 + 6 * 12 + 2 * 24,
    'query-key': 32 * 138,
    'values': 32 * 138,
    'neurons': 4 * 96 * (2 + 2 * 2 + 6 * 4 + 2 * 8),
  }
  test.each<[string, Record<string, number>, UnitOptions['residual']?]>([
    ['vgg16', { filters: 4224, neurons: 8192 }],
    ['vgg16-bn', { filters: 4224, neurons: 8192 }],
    ['resnet18', { filters: 4800 }],
    ['resnet50', { filters: 26560 }],
    ['resnet20', { filters: 688 }],
    ['vit-base', { neurons: 36864, ...heads(12, 12, 64) }],
    ['deit-small', { neurons: 12 * 1536, ...heads(12, 6, 64) }],
    ['deit-tiny', { neurons: 9216, ...heads(12, 3, 64) }],
    ['swin-tiny', swin],
    ['flatten-swin-tiny', swin],
    ['mlp', { neurons: 128 }],
    // The residual widths themselves: 64 + 128 + 256 + 512; option A makes one width of all stages.
    ['resnet18', { filters: 2 * (64 + 128 + 256 + 512), residual: 960 }, 'coupled'],
    ['resnet50', { filters: 64 + 2 * (3 * 64 + 4 * 128 + 6 * 256 + 3 * 512), residual: 4 * 960 }, 'coupled'],
    ['resnet20', { filters: 3 * (16 + 32 + 64), residual: 64 }, 'coupled'],
  ])('%s %o', (type, counts, residual) => {
    const { found, kinds } = unitsOf({ type }, { residual })
    const able = found.filter(({ exact, prunable }) => exact === true && prunable === true)
    expect(
      Object.fromEntries([
        ...new Set(able.map(({ name }) => kinds.get(name)!)),
      ].map((kind) => [
        kind,
        total(able.filter(({ name }) => kinds.get(name) === kind)),
      ])),
    ).toEqual(counts)
    // Whatever else there is names its reason.
    for (const { name, exact, prunable } of found) {
      if (exact !== true || prunable !== true) {
        expect(`${name}: ${String(exact)} ${String(prunable)}`).toMatch(
          /layer-norm of '|closing gates keep this residual width/,
        )
      }
    }
  })
})

describe('what goes together', () => {
  test('attention of a vision transformer', () => {
    const { named } = unitsOf({ type: 'deit-tiny', depth: 2 })
    const at = (...paths: string[]) => paths.map((path) => `blocks.1.attention.${path}`)
    expect(members(named('blocks.1.attention.heads'))).toEqual(
      at('query 0', 'key 0', 'value 0', 'queryBias 0', 'keyBias 0', 'valueBias 0', 'out 1'),
    )
    expect(members(named('blocks.1.attention.queryKey'))).toEqual(at('query 1', 'key 1', 'queryBias 1', 'keyBias 1'))
    expect(members(named('blocks.1.attention.values'))).toEqual(at('value 1', 'valueBias 1', 'out 2'))
    expect(named('blocks.1.attention.values')).toMatchObject({
      shape: [3, 64],
      size: 192,
      outer: 'blocks.1.attention.heads',
    })
    expect(members(named('blocks.1.mlp.hidden'))).toEqual([
      'blocks.1.mlp.fc1.weight 0',
      'blocks.1.mlp.fc1.bias 0',
      'blocks.1.mlp.fc2.weight 1',
    ])
    expect(members(named('stream'))).toContain('blocks.0.attention.out 0')
  })

  test("VGG's last filters reach the classifier over [channel, y, x]", () => {
    expect(members(unitsOf({ type: 'vgg16' }).named('layers.16.gate'))).toEqual([
      'layers.16.conv.weight 0',
      'layers.16.conv.bias 0',
      'classifier.0.weight 1',
    ])
  })

  test('the position table of Swin goes with the heads, patch merging with the residual width', () => {
    const { named } = unitsOf({ type: 'swin-tiny' })
    expect(members(named('stages.2.blocks.5.attention.inner.heads'))).toContain('stages.2.blocks.5.attention.table 1')
    const stream = named('stages.0.stream')
    expect(members(stream)).toEqual(
      expect.arrayContaining([
        'patches.projection.weight 0',
        'stages.0.merging.norm.gain 2',
        'stages.0.merging.weight 3',
        'stages.0.blocks.1.mlp.fc2.weight 0',
      ]),
    )
    expect(stream.exact).toMatch(/^layer-norm of 'patchNorm.gain': the op mixes values along this axis$/)
    expect(stream.prunable).toBe(true)
    expect(members(named('stages.1.stream'))).toContain('stages.0.merging.weight 0')
  })

  test('focused linear attention: queries, keys, scale and positions are one unit, the heads share the kernel', () => {
    const { named } = unitsOf({ type: 'flatten-swin-tiny' }), path = 'stages.0.blocks.0.attention'
    const at = (...names: string[]) => names.map((name) => `${path}.${name}`)
    const keys = named(`${path}.queries`)
    expect(keys.gates.map((gate) => gate.path)).toEqual(at('queries', 'keys'))
    expect(members(keys)).toEqual(at('query 1', 'key 1', 'queryBias 1', 'keyBias 1', 'sharpness 1', 'positions 2'))
    const heads = named(`${path}.queryHeads`)
    expect(heads.gates.map((gate) => gate.path)).toEqual(at('queryHeads', 'keyHeads', 'heads'))
    expect(members(heads)).toEqual(expect.arrayContaining(at('sharpness 0', 'positions 1', 'out 1')))
    expect(named(`${path}.values`).members.find((member) => member.path === `${path}.kernel`)).toMatchObject({
      axis: 0,
      outer: null,
    })
  })

  test('residual groups: closing filters alone, or the width through all blocks, stem and downsample', () => {
    const closing = unitsOf({ type: 'resnet18' })
    expect(members(closing.named('stages.1.0.shortcutGate'))).toEqual(
      ['conv.weight', 'norm.gain', 'norm.bias', 'norm.mean', 'norm.variance'].map((path) =>
        `stages.1.0.shortcut.${path} 0`
      ),
    )
    expect(closing.named('stemGate')).toMatchObject({ size: 64, branchLocal: true })
    const { named } = unitsOf({ type: 'resnet18' }, { residual: 'coupled' })
    expect(members(named('stages.1.0.stream'))).toEqual(
      expect.arrayContaining([
        'stages.1.0.shortcut.conv.weight 0',
        'stages.1.1.layers.1.conv.weight 0',
        'stages.2.0.shortcut.conv.weight 1',
      ]),
    )
    expect(named('stages.1.0.stream').gates.map(({ path }) => path)).toEqual(['stages.1.0.stream', 'stages.1.1.stream'])
    // Without a projection behind it the stem's channels are an ordinary unit.
    expect(unitsOf({ type: 'resnet50' }).named('stemGate')).toMatchObject({ size: 64, branchLocal: false })
  })

  test("an option-A shortcut puts a stage's channels in the middle of the next stage's", () => {
    const { named } = unitsOf({ type: 'resnet20' }, { residual: 'coupled' })
    const stream = named('stream'),
      at = (path: string) => stream.members.find((member) => member.path === path)!.element
    const [wide, middle, narrow] = [
      'stages.2.2.layers.1.conv.weight',
      'stages.1.2.layers.1.conv.weight',
      'stem.conv.weight',
    ].map(at)
    expect([wide.length, middle.length, narrow.length]).toEqual([64, 32, 16])
    expect(new Set(wide).size).toBe(64)
    expect(middle).toEqual(wide.slice(16, 48))
    expect(narrow).toEqual(middle.slice(8, 24))
  })
})

describe('costs of an element', () => {
  const about = (architecture: Architecture, options?: UnitOptions) => {
    const { model, input, found } = unitsOf(architecture, options)
    const list = aboutUnits(model, input, found)
    return (name: string) => list.find((unit) => unit.name === name)!
  }

  test('a vision transformer', () => {
    const unit = about({ type: 'deit-tiny', depth: 1 }), T = 197, C = 192, D = 64
    expect(unit('blocks.0.mlp.hidden').perElement).toEqual({ params: 2 * C + 1, macs: 2 * T * C })
    expect(unit('blocks.0.attention.heads').perElement).toEqual({
      params: 4 * C * D + 3 * D,
      macs: 4 * T * C * D + 2 * T * T * D,
    })
    expect(unit('blocks.0.attention.queryKey').perElement).toEqual({ params: 2 * C + 2, macs: 2 * T * C + T * T })
    expect(unit('blocks.0.attention.values').perElement).toEqual({ params: 2 * C + 1, macs: 2 * T * C + T * T })
  })

  test("VGG's last filter and its 7 x 7 places in the classifier", () => {
    expect(about({ type: 'vgg16' })('layers.16.gate').perElement).toEqual({
      params: 512 * 9 + 1 + 49 * 4096,
      macs: 512 * 9 * 14 * 14 + 49 * 4096,
    })
  })

  test('a closing filter leaves its readers as wide as they were; a coupled one does not', () => {
    expect(about({ type: 'resnet18' })('stages.3.1.closing').perElement).toEqual({
      params: 512 * 9 + 2,
      macs: 512 * 9 * 49,
    })
    const coupled = about({ type: 'resnet20' }, { residual: 'coupled' })('stream')
    expect(coupled.range!.least.macs).toBeLessThan(coupled.range!.most.macs)
    expect(coupled.perElement!.macs).toBeGreaterThan(coupled.range!.least.macs)
  })

  test('none where nothing can be cut', () => {
    expect(about({ type: 'resnet18' })('stream').perElement).toBeNull()
    expect(about({ type: 'vit', width: 96, heads: 1, depth: 1 })('blocks.0.attention.heads').perElement).toBeNull()
  })
})

describe('planted flaws', () => {
  const only = (body: Planted['body']) => {
    const found = units(withoutDevice(() => new Planted(body)), [2, 6])
    expect(found).toHaveLength(1)
    return found[0]
  }

  test.each(Object.entries(exact))('exact: %s', (_, body) => {
    expect(only(body)).toMatchObject({ exact: true, prunable: true })
  })

  test.each(Object.entries(inexact))('inexact: %s', (_, { body, reason }) => {
    const unit = only(body)
    expect(unit.exact).toMatch(reason)
    expect(unit.prunable).toBe(true)
  })

  test.each(Object.entries(unprunable))('not prunable: %s', (_, { body, reason }) => {
    expect(only(body).prunable).toMatch(reason)
  })
})

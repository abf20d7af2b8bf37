// Networks that become sparse while they train: the schedule by its formula, what masks do to a run, regrowth, and a
// run that goes on where it stopped, in the library and by the command line on files.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MLP } from '../../models/index.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { train } from '../../src/commands/train.ts'
import { inspect } from '../../src/commands/inspect.ts'
import { evalCommand } from '../../src/commands/eval.ts'
import { densityAt, regrowthAt, sparsity, type SparsityOptions } from '../../src/train/sparsity.ts'
import { cached, type Dataset, defaultPreprocessing, disposeTree, fit, initialize, leaves, openDataset, patternOf,
  sparseWeights } from '../../src/index.ts'
import { describeDevice } from '../support/device.ts'
import { digits, run, scratch } from '../support/model.ts'

test('the density falls along the cubic of Zhu and Gupta, regrowth along the cosine of RigL', () => {
  const at = { density: 0.2, begin: 0.25, end: 0.75 }
  expect([0, 0.25, 0.5, 0.75, 1].map((time) => densityAt(time, at))).toEqual([1, 1, 0.2 + 0.8 / 8, 0.2, 0.2])
  expect(densityAt(0.3, at)).toBeCloseTo(1 - 0.8 * (1 - (1 - 0.1) ** 3), 12) // s_f + (s_i - s_f)(1 - t)^3 of sparsity
  expect(densityAt(0.5, { density: 0.3, begin: 0.5, end: 0.5 })).toBeCloseTo(0.3, 12)
  expect([0, 0.4, 0.8, 0.9].map((time) => regrowthAt(time, { regrow: 0.3, end: 0.8 }))).toEqual([
    0.3,
    expect.closeTo(0.15, 12),
    0,
    0,
  ])
})

describeDevice('training towards a pattern', () => {
  const data = async (): Promise<Dataset> => {
    const preprocessing = { ...defaultPreprocessing('cnn', 28, 1), resize: null, crop: null }
    const set = await openDataset(digits(0, 99), { preprocessing })
    return cached(set, [...set.labels.keys()])
  }
  const learn = async (options: Partial<SparsityOptions>, epochs = 4) => {
    const model = initialize(new MLP({ hidden: [64] }), 1, 'kaiming'), set = await data()
    const sparse = await sparsity(model, [1, 1, 28, 28], { pattern: patternOf('block:8x8'), density: 0.25, ...options })
    const densities: number[] = [], masks: Uint8Array[] = []
    const state = await fit(model, set, {
      epochs,
      batch: 20,
      classes: 10,
      rate: 3e-3,
      hooks: [sparse.hook, {
        name: 'watch',
        async afterStep() {
          densities.push(await sparse.density())
          masks.push(Uint8Array.from(await sparse.hook.tensors.masks['layers.0.weight'].data()))
        },
      }],
    })
    return { model, sparse, densities, masks, losses: state.losses }
  }

  test('by the cubic, in tiles, and what is left out stays zero', async () => {
    const { model, sparse, densities, masks, losses } = await learn({ end: 0.5 })
    expect(densities).toHaveLength(20)
    for (let i = 1; i < densities.length; i++) expect(densities[i]).toBeLessThanOrEqual(densities[i - 1] + 1e-9)
    expect(densities[0]).toBeGreaterThan(0.6)
    for (const density of densities.slice(9)) expect(Math.abs(density - 0.25)).toBeLessThan(0.03)
    const at = densityAt(5 / 20, { density: 0.25, begin: 0, end: 0.5 })
    expect(Math.abs(densities[4] - at)).toBeLessThan(0.03)
    expect(losses.at(-1)!).toBeLessThan(losses[0])
    // a mask that a tile has left does not let it back in
    for (let step = 1; step < masks.length; step++) {
      expect(masks[step].every((kept, i) => !kept || masks[step - 1][i] === 1)).toBe(true)
    }
    const weight = await new Map(leaves(model)).get('layers.0.weight')!.data()
    expect(masks.at(-1)!.every((kept, i) => kept === 1 || weight[i] === 0)).toBe(true)
    const packed = await sparse.pack(model), [[path, own]] = sparseWeights(packed)
    expect(path).toBe('layers.0.weight')
    expect(await own.dense()).toStrictEqual((weight as Float32Array).map((value) => value + 0)) // no -0
    disposeTree([model, packed])
    sparse.dispose()
  }, 120_000)

  test('with regrowth tiles come back, as many as go, fewer and fewer', async () => {
    const { model, sparse, densities, masks } = await learn({
      schedule: 'constant',
      regrow: 0.5,
      every: 2,
      end: 0.8,
    })
    for (const density of densities) expect(Math.abs(density - 0.25)).toBeLessThan(0.03)
    const back = masks.slice(1).map((mask, i) => mask.filter((kept, at) => kept === 1 && masks[i][at] === 0).length)
    expect(back[0]).toBeGreaterThan(0) // after the second step
    expect(back.filter((count) => count > 0).length).toBeGreaterThan(3)
    expect(back.slice(15).every((count) => count === 0)).toBe(true) // after the end
    expect(back[0]).toBeGreaterThan(back[12])
    disposeTree(model)
    sparse.dispose()
  }, 120_000)

  test.each<[string, Partial<SparsityOptions>, RegExp]>([
    ['an end before the beginning', { begin: 0.5, end: 0.2 }, /begins at 0\.5 and ends at 0\.2 of the run/],
    ['a density out of range', { density: 1.5 }, /density 1\.5, expected 0 to 1/],
    ['all exchanged', { regrow: 1 }, /a share of 1 is exchanged, expected 0 to below 1/],
    ['half a step', { every: 0.5 }, /a change every 0\.5 steps/],
    ['no choice to exchange', { pattern: patternOf('nm:2:4'), density: undefined, regrow: 0.3 }, /leaves no choice/],
    ['another density', { pattern: patternOf('nm:2:4'), density: 0.2 }, /keeps a share of 0\.5\d* and no other/],
    ['no density', { density: undefined }, /needs a density, found none/],
    ['a pattern that does not fit', { pattern: patternOf('nm:1:256'), density: undefined }, /cannot be nm:1:256/],
    ['an unknown option', { regrowth: 0.3 } as object, /no option 'regrowth' \(did you mean regrow\?\)/],
  ])('%s is refused', async (_, options, message) => {
    await expect(learn(options)).rejects.toThrow(message)
  })
})

const dir = scratch(), at = (name: string) => join(dir, name)
const architecture = '{"type":"mlp","hidden":[32]}'
const flags = [
  '--data',
  digits(0, 59),
  '--batch',
  '20',
  '--test',
  digits(60, 79),
  '--adapter',
  'cpu',
  '--pattern',
  'block:8x8',
  '--density',
  '0.3',
]

test('train --pattern writes packed weights, and goes on to the same bytes', async () => {
  const recipe = [architecture, ...flags, '--epochs', '4', '--regrow', '0.4', '--every', '2', '--ema', '0.5']
  const { json } = await run(train, [...recipe, '--out', at('whole.safetensors')])
  expect(json).toMatchObject({ epochs: 4 })
  // killed by its test set: the second run stops after two epochs, the third goes on from there
  const cut = [...recipe, '--out', at('parts.safetensors')]
  const spec = { ...train, run: train.run.bind(train) }
  let epochs = 0
  const command = run(spec, cut, {
    push(line: string) {
      if (/^epoch 2\/4/.test(line)) epochs = 2
      if (epochs === 2) throw new Error('stopped')
      return 0
    },
  } as unknown as string[])
  await expect(command).rejects.toThrow('stopped')
  await run(train, [...cut, '--resume'])
  expect(readFileSync(at('parts.safetensors')).equals(readFileSync(at('whole.safetensors')))).toBe(true)
  const { sparsity: record } = JSON.parse(
    parseSafetensors(readFileSync(at('whole.safetensors'))).metadata.espalier,
  ) as {
    sparsity: { steps: { method: string, density: number }[], layers: Record<string, { density: number }> },
  }
  expect(record.steps).toMatchObject([{ method: 'cubic-regrow', pattern: 'block:8x8' }])
  for (const { density } of Object.values(record.layers)) expect(Math.abs(density - 0.3)).toBeLessThan(0.15)
  const found = (await run(inspect, [at('whole.safetensors')])).json as {
    packed: unknown[],
    macs: number,
    keptMacs: number,
  }
  expect(found.packed).toHaveLength(2)
  expect(found.keptMacs).toBeLessThan(0.5 * found.macs)
  const again = (await run(evalCommand, [at('whole.safetensors'), '--data', digits(60, 79), '--adapter', 'cpu'])).json
  expect(again).toMatchObject({ top1: (json as { top1: number }).top1 })
  // other flags are another run
  await expect(run(train, [...cut, '--resume', '--regrow', '0.2'])).rejects.toThrow(
    /the run had sparsity .*"regrow":0\.4/,
  )
}, 240_000)

test.each<[string, string[], RegExp]>([
  ['no density', ['--pattern', 'block:8x8'], /pattern block:8x8 needs a density, found none; give --density/],
  ['its flags alone', ['--density', '0.3'], /train: --density goes with --pattern, found no --pattern/],
  ['an unknown pattern', ['--pattern', 'blok:8x8', '--density', '0.3'], /pattern 'blok:8x8': expected/],
  ['layers that are not there', ['--pattern', 'rows', '--density', '0.3', '--skip', 'haed'], /--skip 'haed'/],
])('train refuses %s', async (_, more, message) => {
  const args = [architecture, '--data', digits(0, 19), '--adapter', 'cpu', '--out', at('no.safetensors'), ...more]
  await expect(run(train, args)).rejects.toThrow(message)
  expect(existsSync(at('no.safetensors'))).toBe(false)
})

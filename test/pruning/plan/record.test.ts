// Records of pruned files: those we write are accepted, whatever was cut and how often; those that lie are refused with
// what is wrong, by `parseCheckpoint` and by the command line.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { type Architecture, buildModel, inputOf } from '../../../models/registry.ts'
import { InputError } from '../../../src/base/errors.ts'
import { random } from '../../../src/base/random.ts'
import { encodeCheckpoint, parseCheckpoint } from '../../../src/checkpoint/checkpoint.ts'
import { defaultPreprocessing } from '../../../src/data/preprocess.ts'
import { encodeSafetensors, parseSafetensors } from '../../../src/files/safetensors.ts'
import { disposeTree, initialize, type Plan, sliceModel, units } from '../../../src/index.ts'
import type { Model } from '../../../src/nn/model.ts'
import { type PruningRecord, recordOf } from '../../../src/pruning/plan/record.ts'
import { bundleForNode, runNode } from '../../support/cli.ts'
import { describeDevice } from '../../support/device.ts'
import { scratch } from '../../support/model.ts'

const networks: Record<string, Architecture> = {
  resnet: { type: 'resnet', stem: 'cifar', layers: [2, 1], width: 8, classes: 10 },
  vit: { type: 'vit', image: 16, patch: 4, width: 16, depth: 2, heads: 4, hidden: 24, classes: 4 },
  vgg: { type: 'vgg', plan: [8, 'pool', 12], side: 2, hidden: [16], classes: 4, batchNorm: true },
  swin: { type: 'swin', image: 32, patch: 2, width: 8, depths: [2, 1], heads: [2, 4], windows: 4, classes: 4 },
}

interface Pruned {
  model: Model
  record: PruningRecord
}

/** Cuts about a third of the units whose names fit; every head keeps the same number of its own channels. */
async function cut(
  model: Model,
  architecture: Architecture,
  seed: number,
  { only = /./, residual = 'closing', before }: {
    only?: RegExp,
    residual?: 'closing' | 'coupled',
    before?: PruningRecord,
  } = {},
): Promise<Pruned> {
  const input = [1, ...inputOf(architecture)], found = units(model, input, { residual })
  const plan: Plan = new Map(
    found.filter(({ name, prunable, size }) => prunable === true && size > 1 && only.test(name)).map(
      ({ name, shape }) => {
        const draw = random(seed, name), [rows, width] = shape.length > 1 ? shape : [1, shape[0]]
        const gone = Math.max(1, Math.floor(width / 3))
        const flags = Array.from({ length: rows }, () => {
          const places = Array.from({ length: width }, (_, i) => [draw.next(), i]).sort(([a], [b]) => a - b).slice(
            0,
            gone,
          ).map(([, i]) => i)
          return Array.from({ length: width }, (_, i) => places.includes(i) && width > 1 ? 0 : 1)
        })
        return [name, Uint8Array.from(flags.flat())]
      },
    ),
  )
  const small = await sliceModel(model, input, plan, { found })
  const step = { method: 'random', rate: 0.3, seed, residual, scores: '' }
  return { model: small, record: recordOf(small, found, plan, step, before) }
}

const fileOf = ({ model, record }: Pruned, architecture: Architecture) =>
  encodeCheckpoint(model, {
    architecture,
    preprocessing: defaultPreprocessing('cnn', 32),
    naming: 'espalier',
    metadata: {},
    others: new Map(),
    pruning: record,
  })

/** The file with another record. */
function with_(bytes: Uint8Array, change: (record: never) => unknown): Uint8Array {
  const { metadata, tensors } = parseSafetensors(bytes)
  const own = JSON.parse(metadata.espalier) as { pruning: unknown }
  const changed = change(own.pruning as never)
  if (changed !== undefined) own.pruning = changed
  return encodeSafetensors(tensors, { metadata: { ...metadata, espalier: JSON.stringify(own) } })
}

describeDevice('records of pruned networks', () => {
  test.each(Object.keys(networks))(
    '%s: what we write is accepted, cut once, twice, in parts, either way',
    async (name) => {
      const architecture = networks[name]
      for (
        const steps of [
          [{}],
          [{ residual: 'coupled' as const }],
          [{}, {}, {}],
          [{ only: /heads|fc|inner|hidden/ }, { only: /queryKey|asks|channels|values/ }, {}],
          [{ only: /queryKey|query/i }, { only: /heads/ }],
          [{}, { residual: 'coupled' as const }, {}],
        ]
      ) {
        let now: Pruned = { model: initialize(buildModel(architecture), 1), record: undefined as never }
        for (const [i, step] of steps.entries()) {
          const next = await cut(now.model, architecture, i, { ...step, before: now.record })
          disposeTree(now.model)
          now = next
        }
        const parsed = await parseCheckpoint(await fileOf(now, architecture), 'a.safetensors')
        expect(parsed.pruning).toEqual(now.record)
        disposeTree(now.model)
      }
    },
  )

  const lies: [
    string,
    string,
    (record: {
      units: { name: string, size: number, kept?: unknown }[],
      scatters: Record<string, { positions: unknown, width: unknown }>,
      constants: Record<string, unknown>,
      steps: unknown,
    }) => unknown,
    RegExp,
  ][] = [
    ['resnet', 'null for the record', () => null, /without units, scatters, constants and steps/],
    ['resnet', 'a list', () => [], /without units/],
    ['resnet', 'units: [null]', (r) => void (r.units = [null as never]), /is null, expected a name/],
    ['resnet', 'units: [{}]', (r) => void (r.units = [{} as never]), /expected a name/],
    ['resnet', 'no units', (r) => void (r.units = []), /nothing of unit/],
    ['vit', 'a unit is missing', (r) => void r.units.shift(), /nothing of unit/],
    [
      'resnet',
      'an unknown unit',
      (r) => void r.units.push({ name: 'nobody', size: 8 }),
      /'nobody', which this network does not/,
    ],
    ['vgg', 'a unit twice', (r) => void r.units.push(r.units[0]), /stands there twice/],
    ['resnet', 'kept twice', (r) => void (r.units[0].kept = [0, 0, 1]), /one of them twice/],
    ['vit', 'kept unsorted', (r) => void (r.units[0].kept = [1, 0]), /0 after 1, expected rising/],
    ['vgg', 'kept empty', (r) => void (r.units[0].kept = []), /none, expected at least one/],
    ['resnet', 'kept short', (r) => void (r.units[0].kept = [0]), /units that leave|cannot be/],
    ['vgg', 'kept long', (r) => void delete r.units[0].kept, /units that leave|cannot be/],
    [
      'vit',
      'kept short',
      (r) => void (r.units.find(({ name }) => /heads/.test(name))!.kept = [0]),
      /units that leave|cannot be|head/,
    ],
    ['resnet', 'kept beyond', (r) => void (r.units[0].kept = [99]), /99, expected whole numbers from 0/],
    ['resnet', 'kept 2^53', (r) => void (r.units[0].kept = [2 ** 53]), /9007199254740992, expected/],
    ['resnet', 'kept a text', (r) => void (r.units[0].kept = 'all'), /"all" is no list/],
    ['resnet', 'kept like a list', (r) => void (r.units[0].kept = { length: 3 }), /is no list/],
    ['vgg', 'size 2^53', (r) => void (r.units[0].size = 2 ** 53), /size 9007199254740992, expected/],
    ['vit', 'another size', (r) => void (r.units[0].size++), /elements of unit/],
    ['resnet', 'scatter twice', (r) => void (scatterOf(r).positions = [0, 0]), /one of them twice/],
    [
      'resnet',
      'scatter elsewhere',
      (r) => void (scatterOf(r).positions as number[]).reverse(),
      /other scatter indices/,
    ],
    ['resnet', 'scatter width 2^53', (r) => void (scatterOf(r).width = 2 ** 53), /width of 9007199254740992/],
    [
      'resnet',
      'scatter null',
      (r) => void (r.scatters[Object.keys(r.scatters)[0]] = null as never),
      /a width of nothing/,
    ],
    [
      'resnet',
      'scatter of nobody',
      (r) => void (r.scatters['\u001b[31m'] = { positions: [0], width: 1 }),
      /'\\e\[31m', which is no gate/,
    ],
    ['vgg', 'a scatter too many', (r) => void (r.scatters[r.units[0].name] = { positions: [0], width: 4 }), /scatter/],
    ['vit', 'constant a text', (r) => void (r.constants.x = '1'), /constant 'x' is "1", expected a number/],
    ['vit', 'constant of nobody', (r) => void (r.constants.x = 1), /'x' is 1, which this network does not have/],
    ['vit', 'steps null', (r) => void (r.steps = [null]), /the steps of its pruning are \[null\]/],
    ['vit', 'no steps', (r) => void (r.steps = []), /at least one/],
    [
      'vit',
      'a name of a megabyte',
      (r) => void (r.units[0].name = 'x'.repeat(1e6)),
      /which this network does not have/,
    ],
  ]
  const scatterOf = (record: { scatters: Record<string, { positions: unknown, width: unknown }> }) =>
    Object.values(record.scatters)[0]
  const good = new Map<string, Uint8Array>()
  beforeAll(async () => {
    for (const name of ['resnet', 'vit', 'vgg']) {
      const pruned = await cut(initialize(buildModel(networks[name]), 1), networks[name], 7)
      good.set(name, await fileOf(pruned, networks[name]))
    }
  })

  test.each(lies)('%s: %s is refused', async (network, _, change, sentence) => {
    const failure = await parseCheckpoint(with_(good.get(network)!, change as never), 'a.safetensors').catch((e) =>
      e
    ) as Error
    expect(failure).toBeInstanceOf(InputError)
    expect(failure.message).toMatch(sentence)
    expect(failure.message).toMatch(/^a\.safetensors: /)
    expect(failure.message.length).toBeLessThan(500)
  })

  const folder = scratch()
  test('the command line says so with exit code 2', async () => {
    const cli = await bundleForNode('src/cli.ts', 'record'), path = join(folder, 'net.safetensors')
    for (const index of [2, 8, 20]) {
      const [network, , change, sentence] = lies[index]
      writeFileSync(path, with_(good.get(network)!, change as never))
      const { code, stderr } = await runNode(cli, ['inspect', path])
      expect(stderr).toMatch(sentence)
      expect(code).toBe(2)
    }
  })
})

// A sparsity pattern on files: prune to it, read back, evaluate, explain, inspect, train, prune again; a pattern of a
// user's own file; and what is refused.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { loadCheckpoint, parseCheckpoint, saveCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import type { SparsityRecord } from '../../src/checkpoint/packed.ts'
import { evalCommand } from '../../src/commands/eval.ts'
import { explain } from '../../src/commands/explain.ts'
import { inspect } from '../../src/commands/inspect.ts'
import { prune } from '../../src/commands/prune.ts'
import { train } from '../../src/commands/train.ts'
import { close, disposeTree, init, sparseWeights } from '../../src/index.ts'
import { encodeSafetensors, parseSafetensors, type TensorToStore } from '../../src/files/safetensors.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { digits, run, scratch } from '../support/model.ts'

const slow = 240_000
const dir = scratch()
const at = (name: string) => join(dir, name)
const cpu = ['--adapter', 'cpu']
const net = at('vit.safetensors'), sparse = at('sparse.safetensors')
let cli = ''

interface Found {
  before: Record<'params' | 'macs' | 'keptMacs' | 'bytes' | 'top1', number>
  after: Found['before']
  layers: { name: string, pattern: string, kept: number, density: number, bytes: number }[]
  density: number
  difference: number
  references: number
}
const pruned = async (model: string, out: string, ...flags: string[]) =>
  (await run(prune, [model, '--out', at(out), '--overwrite', ...cpu, ...flags])).json as Found

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cli-pattern', true)
  const architecture = '{"type":"vit","image":28,"patch":7,"width":24,"depth":2,"heads":3,"hidden":32}'
  await run(train, [architecture, '--data', digits(0, 99), '--epochs', '2', '--out', net, ...cpu])
  await run(prune, [
    net,
    '--method',
    'magnitude',
    '--pattern',
    'block:8x8',
    '--density',
    '0.5',
    '--out',
    sparse,
    ...cpu,
  ])
}, slow)

describe('prune --pattern', () => {
  test('the file alone is enough to evaluate, inspect, explain, train and prune again', async () => {
    const found = await pruned(
      net,
      'a.safetensors',
      '--method',
      'pxp',
      '--pattern',
      'block:8x8',
      '--density',
      '0.4',
      '--data',
      digits(0, 9),
      '--test',
      digits(0, 39),
      '--skip',
      'head,blocks.0.attention.query',
    )
    expect(found.layers).toHaveLength(12)
    expect(found).toMatchObject({ references: 10, pattern: 'block:8x8', method: 'pxp', ranking: 'global' })
    expect(Math.abs(found.density - 0.4)).toBeLessThan(0.02)
    expect(found.difference).toBeLessThan(1e-4)
    expect(found.after.macs).toBe(found.before.macs)
    expect(found.after.keptMacs).toBeLessThan(0.75 * found.before.keptMacs)
    expect(found.after.params).toBeLessThan(0.8 * found.before.params)
    expect(found.after.bytes).toBeLessThan(found.before.bytes)
    const file = at('a.safetensors')

    const again = (await run(evalCommand, [file, '--data', digits(0, 39), ...cpu])).json
    const { top1, macs, keptMacs, params, bytes } = found.after
    expect(again).toMatchObject({ top1, macs, keptMacs, params, bytes })
    const about = await run(inspect, [file])
    expect(about.json).toMatchObject({ macs, keptMacs, packed: found.layers })
    expect(about.text).toMatch(/12 weights packed as block:8x8: [\d.]+ k of their entries stored \(\d+\.\d %\)/)
    expect(about.text).toMatch(/^blocks\.0\.mlp\.fc1\.weight +block:8x8 +\[32,24\] +\d/m)
    const { files } = (await run(explain, [file, '--data', digits(0, 1), '--out', at('a.png'), ...cpu])).json as {
      files: string[],
    }
    expect(existsSync(files[0])).toBe(true)

    const trained = at('trained.safetensors')
    await run(train, [file, '--data', digits(0, 29), '--epochs', '1', '--rate', '1e-3', '--out', trained, ...cpu])
    const [one, two] = [recordOf(file), recordOf(trained)]
    expect(two).toEqual(one) // the places stay, and so does how they were chosen
    expect(one.steps).toMatchObject([{ method: 'pxp', pattern: 'block:8x8', ranking: 'global', seed: 0 }])
    const [before, after] = [file, trained].map((each) => parseSafetensors(readFileSync(each)).tensors)
    const key = 'blocks.1.mlp.fc2.weight'
    expect(after.get(`${key}.index.row_start`)).toStrictEqual(before.get(`${key}.index.row_start`))
    expect(after.get(`${key}.values`)!.data).not.toEqual(before.get(`${key}.values`)!.data)

    // a second pattern goes to what is dense, units to what is not in tiles: here nothing is
    const second = await pruned(trained, 'b.safetensors', '--method', 'random', '--pattern', 'nm:2:4')
    expect(second.layers.map(({ pattern }) => pattern).filter((pattern) => pattern === 'nm:2:4')).toHaveLength(2)
    expect(recordOf(at('b.safetensors')).steps.map(({ method }) => method)).toEqual(['pxp', 'random'])
    await expect(pruned(at('b.safetensors'), 'c.safetensors', '--method', 'magnitude', '--keep', '0.5')).rejects
      .toThrow(/nothing of that can be cut from this network \(blocks\.0.*tiles of a sparsity pattern/)
    await expect(
      pruned(at('b.safetensors'), 'c.safetensors', '--method', 'magnitude', '--pattern', 'rows', '--density', '0.5'),
    ).rejects.toThrow(/nothing is left to be packed: .* cannot be, it is packed already/)
  }, slow)

  test.each([
    ['the same share of every layer', ['--method', 'magnitude', '--ranking', 'per-unit', '--pattern', 'unstructured']],
    ['by what a pass through weights says', ['--method', 'taylor', '--pattern', 'block:4x4', '--data', digits(0, 9)]],
    ['by the mean of all images', [
      '--method',
      'pxp:z-plus',
      '--pattern',
      'rows',
      '--aggregation',
      'abs-of-mean',
      '--data',
      digits(0, 9),
    ]],
    ['half precision', ['--method', 'magnitude-l2', '--pattern', 'columns', '--f16']],
    ['fine-tuned', ['--method', 'random', '--pattern', 'block:8x8', '--finetune', '1', '--data', digits(0, 19)]],
  ])('%s', async (_, flags) => {
    const { layers, density, before, after } = await pruned(net, 'd.safetensors', '--density', '0.5', ...flags)
    expect(layers).toHaveLength(14)
    expect(Math.abs(density - 0.5)).toBeLessThan(0.05)
    expect(after.params).toBeLessThan(before.params)
    const checked = await parseCheckpoint(readFileSync(at('d.safetensors')), 'd')
    expect(checked.bytes).toBe(after.bytes)
    if (flags.includes('per-unit')) {
      for (const { density: own, name } of layers) expect(Math.abs(own - 0.5), name).toBeLessThan(0.01)
    }
  }, slow)

  test('after units were cut, and a cut of the units that are left dense', async () => {
    await pruned(net, 'cut.safetensors', '--method', 'magnitude', '--keep', '0.7', '--units', 'neurons')
    const packed = await pruned(
      at('cut.safetensors'),
      'cut2.safetensors',
      '--method',
      'magnitude',
      '--pattern',
      'block:4x4',
      '--density',
      '0.5',
      '--skip',
      'blocks.1,head,patches',
    )
    expect(packed.layers).toHaveLength(6)
    const more = await pruned(
      at('cut2.safetensors'),
      'cut3.safetensors',
      '--method',
      'magnitude',
      '--keep',
      '0.5',
      '--units',
      'neurons',
    )
    expect(more.after.params).toBeLessThan(more.before.params)
    const { json } = await run(inspect, [at('cut3.safetensors')])
    expect((json as { packed: unknown[] }).packed).toHaveLength(6)
    expect((await run(evalCommand, [at('cut3.safetensors'), '--data', digits(0, 9), ...cpu])).json).toMatchObject({
      params: more.after.params,
    })
  }, slow)

  test('a file is read and written without a change, f16 within its rounding', async () => {
    await init({ adapter: 'cpu' })
    const first = await loadCheckpoint(sparse)
    await saveCheckpoint(at('again.safetensors'), first.model, first)
    expect(readFileSync(at('again.safetensors')).equals(readFileSync(sparse))).toBe(true)
    await saveCheckpoint(at('half.safetensors'), first.model, first, { floats: 'f16' })
    const half = await loadCheckpoint(at('half.safetensors'))
    expect(half.bytes).toBeLessThan(0.65 * first.bytes)
    const [[, one]] = sparseWeights(first.model), [[, two]] = sparseWeights(half.model)
    const [a, b] = [await one.dense(), await two.dense()]
    for (const [i, value] of a.entries()) {
      expect(Math.abs(b[i] - value)).toBeLessThanOrEqual(Math.max(2 ** -25, 2 ** -11 * Math.abs(value)))
    }
    await expect(saveCheckpoint(at('no.safetensors'), first.model, first, { naming: 'timm-vit' })).rejects.toThrow(
      /our own names|not for this architecture/,
    )
    disposeTree([first.model, half.model])
    await close()
  }, slow)
})

const recordOf = (file: string): SparsityRecord =>
  (JSON.parse(parseSafetensors(readFileSync(file), file).metadata.espalier) as { sparsity: SparsityRecord }).sparsity

describe('a damaged packed file is refused', () => {
  const weight = 'blocks.0.mlp.fc1.weight'
  interface Content {
    tensors: Map<string, TensorToStore>
    record: SparsityRecord
    layer: Record<string, unknown>
  }
  const index = (tensors: Content['tensors'], name: string) =>
    tensors.get(`${weight}.index.${name}`)!.data as Int32Array

  test.each<[string, (content: Content) => void, RegExp]>([
    ['index out of range', ({ tensors }) => {
      index(tensors, 'tile_column')[0] = 77
    }, /tile 0 stands in row 0 and column 77 of tiles, expected below 4 and 3/],
    ['a negative index', ({ tensors }) => {
      index(tensors, 'tile_column')[0] = -1
    }, /column 4294967295 of tiles, expected below/],
    ['unsorted', ({ tensors }) => {
      const start = index(tensors, 'row_start'), columns = index(tensors, 'tile_column')
      const row = start.findIndex((first, i) => start[i + 1] - first > 1)
      columns.subarray(start[row], start[row] + 2).reverse()
    }, /stands before tile \d+, expected them by row and then by column/],
    ['overlapping', ({ tensors }) => {
      const start = index(tensors, 'row_start'), columns = index(tensors, 'tile_column')
      const row = start.findIndex((first, i) => start[i + 1] - first > 1)
      columns[start[row] + 1] = columns[start[row]]
    }, /tiles \d+ and \d+ both stand in row/],
    ['rows that do not ascend', ({ tensors }) => {
      index(tensors, 'row_start')[1] = 1000
    }, /row_start goes from 0 to 1000 at row 0 of tiles, expected it to ascend to \d+/],
    ['another block size in the record', ({ layer }) => {
      layer.tile = [16, 8]
    }, /its values are \[\d+,1,8,8\], expected \[\d+,1,8,16\]|expected 8x8/],
    ['another pattern than wrote it', ({ layer }) => {
      layer.pattern = 'block:16x16'
    }, /its tiles are 8x8, expected 16x16/],
    ['an unknown pattern', ({ layer }) => {
      layer.pattern = 'blok:8x8'
    }, /packed weight 'blocks\.0\.mlp\.fc1\.weight': pattern 'blok:8x8': expected .* \(did you mean block\?\)/],
    ['another number of tiles', ({ layer }) => {
      layer.slots = 3
    }, /its values are \[\d+,1,8,8\], expected \[3,1,8,8\] for 3 tiles of 8x8/],
    ['NaN', ({ tensors }) => {
      ;(tensors.get(`${weight}.values`)!.data as Float32Array)[5] = NaN
    }, /tensor "blocks\.0\.mlp\.fc1\.weight\.values" holds NaN at entry 5, expected finite numbers/],
    ['values that are missing', ({ tensors }) => {
      tensors.delete(`${weight}.values`)
    }, /its tensor 'blocks\.0\.mlp\.fc1\.weight\.values' is missing, expected F32 or F16/],
    ['an index that is missing', ({ tensors }) => {
      tensors.delete(`${weight}.index.row_start`)
    }, /its tensor 'blocks\.0\.mlp\.fc1\.weight\.index\.row_start' is missing, expected I32/],
    ['an index of floats', ({ tensors }) => {
      const { shape } = tensors.get(`${weight}.index.row_start`)!
      tensors.set(`${weight}.index.row_start`, { shape, data: new Float32Array(shape[0]) })
    }, /index\.row_start' is F32, expected I32/],
    ['an index that is a matrix', ({ tensors }) => {
      const { data } = tensors.get(`${weight}.index.row_start`)!
      tensors.set(`${weight}.index.row_start`, { shape: [1, data.length], data })
    }, /its index 'row_start' is \[1,5\], expected a list/],
    ['another shape than the network has', ({ layer }) => {
      layer.inputs = [48]
    }, /it is of \[32,48\], the architecture has \[32,24\] there/],
    ['a weight that the network lacks', ({ record }) => {
      record.layers['blocks.9.mlp.fc1.weight'] = record.layers[weight]
      delete record.layers[weight]
    }, /'blocks\.9\.mlp\.fc1\.weight\.values' is missing/],
    ['a place where nothing can be packed', ({ tensors, record }) => {
      for (const key of [...tensors.keys()]) {
        if (key.startsWith(`${weight}.`)) {
          tensors.set(key.replace(weight, 'positions'), tensors.get(key)!)
          tensors.delete(key)
        }
      }
      record.layers.positions = record.layers[weight]
      delete record.layers[weight]
    }, /packed weight 'positions': it is of \[32,24\], the architecture has \[17,24\] there/],
    ['a record without layers', ({ record }) => {
      record.layers = {}
    }, /metadata espalier has a sparsity without layers and steps/],
    ['a record of a later version', ({ record }) => {
      ;(record as { format: number }).format = 2
    }, /a sparsity of format 2, expected 1/],
    ['a layer without sizes', ({ layer }) => {
      delete layer.outputs
    }, /the packed weight 'blocks\.0\.mlp\.fc1\.weight' is .*, expected pattern, tile, slots, outputs, inputs/],
    ['a size that no memory holds', ({ layer }) => {
      layer.outputs = [2 ** 29, 2 ** 29]
    }, /expected pattern, tile, slots, outputs, inputs and density/],
    ['a step that is none', ({ record }) => {
      record.steps = [{ method: 'x' } as SparsityRecord['steps'][number]]
    }, /a sparsity without layers and steps/],
  ])('%s', async (name, damage, message) => {
    const bytes = await damaged(damage), file = at('damaged.safetensors')
    await expect(parseCheckpoint(bytes, 'damaged')).rejects.toThrow(message)
    await expect(parseCheckpoint(bytes, 'damaged')).rejects.toThrow(/^damaged: [^\n]*; [^\n]*$/)
    if (!['index out of range', 'NaN', 'an unknown pattern'].includes(name)) return
    writeFileSync(file, bytes)
    const { code, stdout, stderr } = await runNode(cli, ['eval', file, '--data', digits(0, 1), ...cpu])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr.trim().split('\n')).toHaveLength(1)
  }, slow)

  async function damaged(damage: (content: Content) => void): Promise<Uint8Array> {
    const { metadata, tensors } = parseSafetensors(new Uint8Array(readFileSync(sparse)))
    const about = JSON.parse(metadata.espalier) as { sparsity: SparsityRecord }
    const copies = new Map<string, TensorToStore>(
      [...tensors].map(([key, { shape, data }]) => [key, { shape, data: data.slice() as TensorToStore['data'] }]),
    )
    const nan = { at: -1 }
    const record = about.sparsity
    damage({ tensors: copies, record, layer: record.layers[weight] as unknown as Record<string, unknown> })
    // nothing that is not finite is written, so it is put in afterwards
    const values = copies.get(`${weight}.values`)?.data as Float32Array | undefined
    nan.at = values?.findIndex(Number.isNaN) ?? -1
    if (nan.at >= 0) values![nan.at] = 1e30
    const bytes = encodeSafetensors(copies, { metadata: { ...metadata, espalier: JSON.stringify(about) } })
    if (nan.at >= 0) {
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      for (let i = bytes.length % 4; i + 4 <= bytes.length; i += 4) {
        if (view.getFloat32(i, true) === Math.fround(1e30)) view.setFloat32(i, NaN, true)
      }
    }
    return Promise.resolve(bytes)
  }
})

describe("a pattern of a file of one's own", () => {
  const board = at('checkerboard.ts')
  const text = (more = '') => `
import { definePattern, keepTiles, packTiles, positionsOf, tilesOf } from 'espalier'
const tile = [8, 8] as const
export default definePattern({
  name: 'checkerboard',
  summary: 'every second tile of 8x8',
  tile,
  fixedDensity(shape: readonly [number, number]) {
    const [down, across] = tilesOf(shape, tile)
    return Math.ceil(down * across / 2) / (down * across)
  },
  keep(scores: ArrayLike<number>, shape: readonly [number, number]) {
    const [down, across] = tilesOf(shape, tile), dark: number[] = []
    for (let i = 0; i < down * across; i++) if ((Math.floor(i / across) + i % across) % 2 === 0) dark.push(i)
    return keepTiles(dark, shape, tile)
  },${more}
})
`

  const withBoard = (out: string, ...more: string[]) =>
    runNode(cli, ['prune', net, '--method', 'magnitude', '--pattern', board, '--out', at(out), ...cpu, ...more])

  test('prunes, and the file needs no program to be read', async () => {
    writeFileSync(board, text())
    const made = await withBoard('board.safetensors', '--skip', 'head', '--json')
    expect(made.code).toBe(0)
    expect((JSON.parse(made.stdout) as Found).layers).toHaveLength(13)
    const { code, stdout } = await runNode(cli, [
      'eval',
      at('board.safetensors'),
      '--data',
      digits(0, 9),
      '--json',
      ...cpu,
    ])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ images: 10 })
    expect((await run(inspect, [at('board.safetensors')])).text).toMatch(/13 weights packed as checkerboard: /)
    expect(Object.values(recordOf(at('board.safetensors')).layers)[0]).toMatchObject({ listed: true, tile: [8, 8] })
    await run(train, [
      at('board.safetensors'),
      '--data',
      digits(0, 9),
      '--epochs',
      '1',
      '--out',
      at('b2.safetensors'),
      ...cpu,
    ])
    expect(recordOf(at('b2.safetensors'))).toEqual(recordOf(at('board.safetensors')))
  }, slow)

  test.each<[string, string, RegExp]>([
    [
      'whose pack drops a block',
      `
  pack(weight: ArrayLike<number>, keep: ArrayLike<number>, shape: readonly [number, number]) {
    const places = positionsOf(keep, shape, tile).slice(0, -2)
    return { ...packTiles(weight, keep, shape, tile, places), index: {} }
  },`,
      /packTiles: \d+ entries of a weight of \[\d+,\d+\] are kept, but the tiles at the given places hold \d+ of them/,
    ],
    [
      'whose WGSL goes one too far',
      `
  index: () => ({}),
  positions({ shape }: { shape: readonly [number, number] }) {
    const [down, across] = tilesOf(shape, tile), found: number[] = []
    for (let i = 0; i < down * across; i++) {
      const row = Math.floor(i / across), column = i % across
      if ((row + column) % 2 === 0) found.push(row, column)
    }
    return Uint32Array.from(found)
  },
  walk: { index: [], wgsl: \`
fn first(row: u32) -> u32 { return (row * p.tile_columns + 1u) / 2u; }
fn last(row: u32) -> u32 { return ((row + 1u) * p.tile_columns + 1u) / 2u + 1u; }
fn column(row: u32, slot: u32) -> u32 { return (slot - first(row)) * 2u + row % 2u; }\` },`,
      /checkerboard.*its WGSL|its walk|last/,
    ],
    [
      'that fits no such shape',
      `\n  unfit: () => 'it wants squares',`,
      /cannot be checkerboard: it wants squares; leave/,
    ],
    ['whose keep is none', `\n  keep: () => new Uint8Array(3),`, /keep gives 3 entries/],
  ])('%s is told', async (_, more, message) => {
    writeFileSync(board, text(more))
    const { code, stdout, stderr } = await withBoard('e.safetensors')
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr.trim().split('\n').at(-1)).toMatch(message)
    expect(existsSync(at('e.safetensors'))).toBe(false)
  }, slow)
})

describe('prune --pattern refuses', () => {
  const base = ['--method', 'magnitude', '--pattern', 'block:8x8']
  test.each<[string, string[], RegExp]>([
    ['no density', base, /pattern block:8x8: how much stays is not said; give --density/],
    [
      'a density that a pattern does not have',
      ['--method', 'magnitude', '--pattern', 'nm:2:4', '--density', '0.3'],
      /nm:2:4: it keeps a share of 0\.51? of a weight and no other, found --density 0\.3/,
    ],
    ['a budget of a cut', [...base, '--density', '0.5', '--keep', '0.5'], /--keep is for cutting units/],
    ['an unknown pattern', ['--method', 'magnitude', '--pattern', 'blok:8x8'], /pattern 'blok:8x8': expected block:/],
    [
      'a criterion of units',
      ['--method', 'apoz', '--pattern', 'rows', '--density', '0.5', '--data', digits(0, 1)],
      /method 'apoz': it scores no single weights.*expected pxp, yeom, magnitude/,
    ],
    ['no images', ['--method', 'pxp', '--pattern', 'rows', '--density', '0.5'], /reads images with labels, found none/],
    ['layers that are not there', [...base, '--density', '0.5', '--skip', 'haed'], /--skip 'haed': no weight has such/],
    ['all layers left out', [...base, '--density', '0.5', '--skip', '*'], /nothing is left to be packed/],
    [
      'a shape that does not fit',
      ['--method', 'magnitude', '--pattern', 'nm:2:64', '--density', '0.03'],
      /cannot be nm:2:64: it has \d+ inputs, fewer than a group of 64; leave it out with --skip/,
    ],
    ['steps', [...base, '--density', '0.5', '--steps', '2'], /--pattern takes one step/],
    [
      'its flags alone',
      ['--method', 'magnitude', '--keep', '0.5', '--density', '0.5'],
      /--density goes with --pattern/,
    ],
  ])('%s', async (_, flags, message) => {
    await expect(pruned(net, 'f.safetensors', ...flags)).rejects.toThrow(message)
    expect(existsSync(at('f.safetensors'))).toBe(false)
  }, slow)
})

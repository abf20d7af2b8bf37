// Packed weights in the files of a user's own class: saved, loaded by another process, pruned again; and what is
// damaged.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adamW, add, applied, close, crossEntropy, definePattern, encodeModel, init, initialize, keepTiles, loadModel,
  parameters, patternOf, registerArchitecture, saveModel, sliceModel, sparsify, sparseWeights, tensor, type Tensor,
  tilesOf, units, valueAndGrad, zeros } from '../../src/index.ts'
import type { SparsityRecord } from '../../src/checkpoint/packed.ts'
import { encodeSafetensors, parseSafetensors, type TensorToStore } from '../../src/files/safetensors.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { Garden, gardenImages, gardenOf } from '../support/own-models.ts'

const dir = mkdtempSync(join(tmpdir(), 'sparse-model-file-'))
const at = (name: string) => join(dir, name)
const architecture = { type: 'garden' }
const logits = async (model: Garden) => [...await model.call(gardenImages()).data()]
const input = [1, 3, 16, 16]
let program = ''

describe('packed weights in model files, on cpu', () => {
  beforeAll(async () => {
    program = await bundleForNode('test/support/model-file-program.ts', 'model-file-program')
    registerArchitecture('garden', gardenOf)
    await init({ adapter: 'cpu', fixedVariants: true })
  })
  afterAll(async () => {
    await close()
    rmSync(dir, { recursive: true })
  })

  /** Two of three filters of each kind stay, then blocks of what is left. */
  async function cutAndPacked(pattern = 'block:4x4'): Promise<Garden> {
    const model = initialize(new Garden(), 3), found = units(model, input)
    const plan = new Map(
      found.filter(({ prunable, size }) => prunable === true && size > 3).map(({ name, size }) =>
        [name, Uint8Array.from({ length: size }, (_, i) => Number(i < size - 4))] as const
      ),
    )
    const small = await sliceModel(model, input, plan)
    expect(small.stream.weight.shape[0]).toBeLessThan(12)
    return sparsify(small, input, { pattern: patternOf(pattern), density: 0.5, skip: ['gate', 'head'] })
  }

  const runProgram = async (file: string, again = at('again.safetensors')) => {
    const { stdout, stderr, code } = await runNode(program, [file, again])
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    return JSON.parse(stdout) as { logits: number[], packed: string[][], more: number[], refused?: string }
  }

  test('another process has the same network of file and class, and prunes it again', async () => {
    const model = await cutAndPacked(), file = at('packed.safetensors'), again = at('more.safetensors')
    await saveModel(file, model, { architecture })
    const names = [...parseSafetensors(await encodeModel(model), 'x').tensors.keys()]
    expect(names).toContain('mask.weight.index.row_start')
    expect(names).not.toContain('mask.weight')
    const found = await runProgram(file, again)
    expect(found.logits).toEqual(await logits(model))
    expect(found.packed).toEqual([['mask.weight', 'block:4x4'], ['stream.weight', 'block:4x4']])
    const { model: more } = await loadModel<Garden>(again)
    expect(sparseWeights(more).map(([path, { packing: { pattern } }]) => [path, pattern.name]))
      .toEqual([['head.weight', 'unstructured'], ...found.packed, ['gate.weight', 'unstructured']])
    expect(await logits(more)).toEqual(found.more)
    // A template may be packed itself, in another way; and a model that was loaded is saved to the same bytes.
    const template = await sparsify(new Garden(), input, { pattern: patternOf('rows'), density: 1 })
    const { model: same } = await loadModel<Garden>(file, { template })
    expect(await encodeModel(same, { architecture })).toEqual(await encodeModel(model, { architecture }))
  })

  test("a pattern of a user's own, and a computed one that has no index", async () => {
    const board = definePattern({
      name: 'checkerboard',
      tile: [2, 2],
      fixedDensity: () => 0.5,
      keep(_, shape) {
        const [down, across] = tilesOf(shape, [2, 2])
        const all = Array.from({ length: down * across }, (_, i) => i)
        return keepTiles(all.filter((i) => (Math.floor(i / across) + i % across) % 2 === 0), shape, [2, 2])
      },
    })
    for (const pattern of [board, patternOf('strided:2:2'), patternOf('nm:2:4')]) {
      const model = await sparsify(initialize(new Garden(), 4), input, { pattern, density: 0.5, skip: ['head'] })
      const file = at('pattern.safetensors')
      await saveModel(file, model, { architecture })
      expect(await logits((await loadModel<Garden>(file)).model)).toEqual(await logits(model))
    }
  })

  class Twins {
    words: Tensor = zeros([8, 8])
    again: Tensor = this.words
    call(x: Tensor): Tensor {
      return applied(applied(x, this.words, null), this.again, null)
    }
  }

  test('a packed weight that two layers share is stored once, comes back shared, and goes on training', async () => {
    const model = await sparsify(initialize(new Twins(), 1), [3, 8], { pattern: patternOf('block:4x4'), density: 0.5 })
    expect(model.again).toBe(model.words)
    const step = async (twins: Twins, optimizer: ReturnType<typeof adamW>) => {
      const x = tensor(Float32Array.from({ length: 24 }, (_, i) => Math.cos(i)), [3, 8])
      const labels = tensor(Int32Array.from([0, 1, 2]))
      const [loss, gradient] = valueAndGrad((net: Twins) => crossEntropy(net.call(x), labels))(twins)
      optimizer.update(twins, gradient)
      return (await loss.data())[0]
    }
    const optimizer = adamW(model, { rate: 0.05 })
    await step(model, optimizer)
    const bytes = await encodeModel(model, { optimizers: [optimizer] })
    expect([...parseSafetensors(bytes, 'x').tensors.keys()].filter((name) => !name.startsWith('@')).sort())
      .toEqual(['words.index.row_start', 'words.index.tile_column', 'words.values'])
    const { model: back, restore } = await loadModel<Twins>(bytes, { template: new Twins() })
    expect(back.again).toBe(back.words)
    expect(parameters(back).map(([path]) => path)).toEqual(['words.values'])
    const other = adamW(back, { rate: 0.05 })
    restore({ optimizers: [other] })
    for (let i = 0; i < 2; i++) expect(await step(back, other)).toBe(await step(model, optimizer))
  })

  class Placed {
    static readonly leaves = { grid: { role: 'positions' } } as const
    words: Tensor = zeros([8, 8], true)
    grid: Tensor = zeros([8, 8], true)
    other: Tensor = zeros([8, 8], true)
    call(x: Tensor): Tensor {
      return add(applied(x, this.words, null), add(this.grid, this.other))
    }
  }

  test('packed where the class has no weight: refused by its role, else by the op that would take it', async () => {
    const model = await sparsify(initialize(new Placed(), 1), [8, 8], { pattern: patternOf('block:4x4'), density: 0.5 })
    const { metadata, tensors } = parseSafetensors(await encodeModel(model))
    const exchanged = (name: string) => {
      const about = JSON.parse(metadata['espalier-model']) as Content['about'], { layers } = about.sparsity
      const moved = new Map<string, TensorToStore>(
        [...tensors].map(([key, { shape, data }]) =>
          [key.replace(/^words/, name), { shape, data: data as TensorToStore['data'] }] as const
        ),
      )
      moved.set('words', moved.get(name)!)
      moved.delete(name)
      about.sparsity.layers = { [name]: layers.words }
      writeFileSync(
        at(`${name}.safetensors`),
        encodeSafetensors(moved, { metadata: { 'espalier-model': JSON.stringify(about) } }),
      )
      return loadModel<Placed>(at(`${name}.safetensors`), { template: new Placed() })
    }
    await expect(exchanged('grid')).rejects.toThrow(
      /grid\.safetensors: it has 'grid' packed, which in the class is no weight but of the role 'positions'; the file/,
    )
    const { model: odd } = await exchanged('other')
    expect(() => odd.call(zeros([8, 8]))).toThrow(
      /^add: argument 2 is a packed weight \[8,8\], expected a tensor; .*densify\(model\).*damaged, or of another/,
    )
  })

  interface Content {
    tensors: Map<string, TensorToStore>
    about: { tied: Record<string, string>, sparsity: SparsityRecord }
    layer: Record<string, unknown>
  }
  const weight = 'stream.weight'
  const index = ({ tensors }: Content, name: string) => tensors.get(`${weight}.index.${name}`)!.data as Int32Array

  async function damaged(damage: (content: Content) => void): Promise<Uint8Array> {
    const { metadata, tensors } = parseSafetensors(await encodeModel(await cutAndPacked(), { architecture }))
    const about = JSON.parse(metadata['espalier-model']) as Content['about']
    const copies = new Map<string, TensorToStore>(
      [...tensors].map(([key, { shape, data }]) => [key, { shape, data: data.slice() as TensorToStore['data'] }]),
    )
    damage({
      tensors: copies,
      about,
      layer: about.sparsity.layers[weight] as unknown as Record<string, unknown>,
    })
    return encodeSafetensors(copies, { metadata: { 'espalier-model': JSON.stringify(about) } })
  }

  test.each<[string, (content: Content) => void, RegExp]>([
    ['index out of range', (content) => {
      index(content, 'tile_column')[0] = 77
    }, /packed weight 'stream\.weight': tile 0 stands in row 0 and column 77 of tiles, expected below \d+ and \d+/],
    ['stored twice', (content) => {
      index(content, 'tile_column').fill(1)
    }, /tiles \d+ and \d+ both stand in row \d+/],
    ['rows that do not ascend', (content) => {
      index(content, 'row_start')[1] = 1000
    }, /row_start goes from 0 to 1000 at row 0 of tiles/],
    ['another pattern than wrote it', ({ layer }) => {
      layer.pattern = 'block:2x2'
    }, /its tiles are 4x4, expected 2x2/],
    ['an unknown pattern', ({ layer }) => {
      layer.pattern = 'blok:4x4'
    }, /pattern 'blok:4x4': expected .* \(did you mean block\?\)/],
    ['values that are missing', ({ tensors }) => {
      tensors.delete(`${weight}.values`)
    }, /its tensor 'stream\.weight\.values' is missing, expected F32 or F16/],
    ['more tiles than it has', ({ layer }) => {
      layer.slots = 4000
    }, /its values are \[\d+,1,4,4\], expected \[4000,1,4,4\] for 4000 tiles of 4x4/],
    ['larger than the class has it', ({ layer }) => {
      layer.outputs = [4096]
    }, /tensor 'stream\.weight' is \[4096,\d+,3,3\], which is no part of the original \[12,8,3,3\]/],
    ['a record of a later version', ({ about }) => {
      ;(about.sparsity as { format: number }).format = 2
    }, /a sparsity of format 2, expected 1/],
    ['a record without layers', ({ about }) => {
      about.sparsity.layers = {}
    }, /a sparsity without layers and steps/],
    ['no record at all', ({ about }) => {
      delete (about as Partial<Content['about']>).sparsity
    }, /it lacks '(mask|stream)\.weight', which the class has/],
    ['packed and dense at once', ({ tensors }) => {
      tensors.set(weight, { shape: [2], data: new Float32Array(2) })
    }, /it has 'stream\.weight' packed, and once more as a tensor; the file is damaged/],
    ['packed and tied to another', ({ about }) => {
      about.tied[weight] = 'mask.weight'
    }, /it has 'stream\.weight' packed, and once more as a tied one; the file is damaged/],
    ['a place that the class lacks', ({ about, tensors, layer }) => {
      for (const key of [...tensors.keys()].filter((name) => name.startsWith(`${weight}.`))) {
        tensors.set(key.replace(weight, 'nowhere'), tensors.get(key)!)
        tensors.delete(key)
      }
      about.sparsity.layers.nowhere = layer as never
      delete about.sparsity.layers[weight]
    }, /it lacks 'stream\.weight', which the class has/],
  ])('%s is refused', async (name, damage, message) => {
    const bytes = await damaged(damage)
    await expect(loadModel(bytes, { name: 'damaged' })).rejects.toThrow(message)
    await expect(loadModel(bytes, { name: 'damaged' })).rejects.toThrow(/^damaged: [^\n]*[;,?] ?[^\n]*$/)
    if (name !== 'index out of range') return
    writeFileSync(at('damaged.safetensors'), bytes)
    expect((await runProgram(at('damaged.safetensors'))).refused).toMatch(message)
  })
})

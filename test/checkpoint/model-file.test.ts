// Models of one's own and of ours in files of any state: pruned, tied, masked, half trained.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Architecture, buildModel } from '../../models/index.ts'
import { adamW, type CheckpointInfo, crossEntropy, describedLeaves, dropout, encodeCheckpoint, encodeModel, gatesOf,
  initialize, InputError, leaves, linear, loadCheckpoint, loadModel, type Model, type Plan, randomState,
  registerArchitecture, saveCheckpoint, saveModel, sliceModel, tensor, type Tensor, type Traceable, units, valueAndGrad,
  withClassMasks, zeros } from '../../src/index.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { describeDevice } from '../support/device.ts'
import { Garden, Tower } from '../support/own-models.ts'

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'model-file-'))
})
afterAll(() => rmSync(dir, { recursive: true }))
const at = (name: string) => join(dir, name)

const images = (side: number, count = 2) =>
  tensor(Float32Array.from({ length: count * 3 * side * side }, (_, i) => Math.sin(i * 0.37)), [count, 3, side, side])
const logits = async (model: Model, side: number) => [...await model.call(images(side)).data()]

/** A plan that keeps two of three elements of every unit that may go, another two in each head. */
function planOf(model: Traceable, side: number, kinds?: readonly string[]): Plan {
  const found = units(model, [1, 3, side, side])
  return new Map(
    found.filter(({ prunable, kind }) => prunable === true && (!kinds || kinds.includes(kind))).map((
      { name, shape, size },
    ) => {
      const dim = shape.at(-1)!, rows = size / dim
      return [
        name,
        Uint8Array.from({ length: size }, (_, i) =>
          shape.length === 1
            ? Number(dim < 3 ? i < dim - 1 || dim === 1 : i % 3 !== 1)
            : Number(((i % dim) + Math.floor(i / dim) % rows) % 2 === 0)),
      ]
    }),
  )
}

// Names are the process's, and these tests run once for each device.
let registered = 0

describeDevice('model files', () => {
  test.each(
    [
      ['a transformer', () => new Tower(), 16, undefined],
      ['its heads and neurons alone', () => new Tower(), 16, ['heads', 'neurons']],
      ['convolutions with residuals', () => new Garden(), 16, undefined],
    ] as const,
  )('own networks, cut, come back from file and class; %s', async (name, make, side, kinds) => {
    const model = initialize(make() as Model, 3)
    const small = await sliceModel(model, [1, 3, side, side], planOf(model, side, kinds))
    expect(leaves(small).some(([path, leaf], i) => leaf.size < leaves(model)[i][1].size && path)).toBe(true)
    const file = at(`${name}.safetensors`)
    await saveModel(file, small, { metadata: { note: 'mine' } })
    const loaded = await loadModel<Model>(file, { template: make() as Model })
    expect(loaded.metadata).toEqual({ note: 'mine' })
    expect(await logits(loaded.model, side)).toEqual(await logits(small, side))
    // What was loaded is a model like any other: cut and saved again.
    await saveModel(file, loaded.model)
    expect(await logits((await loadModel<Model>(file, { template: make() as Model })).model, side))
      .toEqual(await logits(small, side))
  })

  test.each([
    ['vit', { type: 'vit', image: 16, patch: 4, width: 24, depth: 2, heads: 3, hidden: 24, classes: 4 }, 16],
    [
      'swin',
      { type: 'swin', image: 32, patch: 4, width: 12, depths: [1, 1], heads: [3, 3], windows: 4, classes: 4 },
      32,
    ],
    ['resnet', { type: 'resnet', stem: 'cifar', layers: [1, 1], width: 12, classes: 4 }, 32],
    ['vgg', { type: 'vgg', plan: [12, 'pool', 12, 'pool'], side: 4, hidden: [12], classes: 4 }, 16],
  ] as [string, Architecture, number][])(
    'saveCheckpoint after sliceModel writes what loadCheckpoint reads, cut twice as well; %s',
    async (name, architecture, side) => {
      const model = initialize(buildModel(architecture), 5), file = at(`${name}-cut.safetensors`)
      const info: CheckpointInfo = {
        architecture,
        preprocessing: defaultPreprocessing('cnn', side, 3),
        naming: 'espalier',
        metadata: {},
        others: new Map(),
      }
      const small = await sliceModel(model, [1, 3, side, side], planOf(model, side, ['heads', 'neurons', 'filters']))
      await saveCheckpoint(file, small, info)
      const once = await loadCheckpoint(file)
      expect(await logits(once.model, side)).toEqual(await logits(small, side))
      expect(once.pruning!.steps.map(({ method }) => method)).toEqual(['slice'])
      const input = [1, 3, side, side]
      const smaller = await sliceModel(once.model, input, planOf(once.model, side, ['neurons', 'filters']))
      await saveCheckpoint(file, smaller, once)
      const twice = await loadCheckpoint(file)
      expect(await logits(twice.model, side)).toEqual(await logits(smaller, side))
      expect(twice.pruning!.steps).toHaveLength(2)
      await saveModel(file, smaller, { architecture })
      expect(await logits((await loadModel<Model>(file)).model, side)).toEqual(await logits(smaller, side))
      // Of another size without any record: refused now, not when it is read.
      await expect(encodeCheckpoint(model, { ...info, architecture: { ...architecture, classes: 5 } })).rejects.toThrow(
        /the architecture \w+ has \[5/,
      )
    },
  )

  class Tied {
    words: Tensor = zeros([6, 6])
    again: Tensor = this.words
    table: Tensor = tensor(Uint32Array.from([3, 1, 2]))
    signs: Tensor = tensor(Int32Array.from([-1, 1]))
    call(x: Tensor, random?: Tensor): Tensor {
      const inner = linear(x, this.words, null)
      return linear(random ? dropout(inner, random, { rate: 0.3 }) : inner, this.again, null)
    }
  }

  test('tied weights are stored once and come back tied; integers keep their type', async () => {
    const model = initialize(new Tied(), 1), bytes = await encodeModel(model)
    expect([...parseSafetensors(bytes, 'x').tensors.keys()]).toEqual(['words', 'table', 'signs'])
    const { model: back } = await loadModel<Tied>(bytes, { template: new Tied() })
    expect(back.again).toBe(back.words)
    expect(describedLeaves(back).map(([, { dtype }]) => dtype)).toEqual(['f32', 'f32', 'u32', 'i32'])
    expect([...await back.table.data(), ...await back.signs.data()]).toEqual([3, 1, 2, -1, 1])
    expect([...await back.words.data()]).toEqual([...await model.words.data()])
    // A class that ties gets what the file says: here nothing is tied.
    const loose = initialize(new Tied(), 2)
    loose.again = tensor(Float32Array.from({ length: 36 }, (_, i) => i), [6, 6])
    const apart = (await loadModel<Tied>(await encodeModel(loose), { template: new Tied() })).model
    expect(apart.again).not.toBe(apart.words)
    expect((await apart.again.data())[35]).toBe(35)
  })

  test('half trained, with optimiser and random stream, it goes on to the same numbers', async () => {
    const type = `tied ${registered++}`
    registerArchitecture(type, () => new Tied())
    const x = tensor(Float32Array.from({ length: 24 }, (_, i) => Math.cos(i)), [4, 6])
    const labels = tensor(Int32Array.from([0, 1, 2, 3]))
    const step = async (model: Tied, optimizer: ReturnType<typeof adamW>, random: Tensor) => {
      const [loss, gradient] = valueAndGrad((net: Tied) => crossEntropy(net.call(x, random), labels))(model)
      optimizer.update(model, gradient)
      return (await loss.data())[0]
    }
    const model = initialize(new Tied(), 4)
    const optimizer = adamW(model, { rate: 0.05 })
    const random = randomState(9)
    for (let i = 0; i < 3; i++) await step(model, optimizer, random)
    const file = at('half.safetensors')
    await saveModel(file, model, { architecture: { type }, optimizers: [optimizer], random: { drop: random } })
    const whole: number[] = []
    for (let i = 0; i < 3; i++) whole.push(await step(model, optimizer, random))

    const { model: back, restore } = await loadModel<Tied>(file)
    const other = adamW(back, { rate: 0.05 }), stream = randomState(1)
    restore({ optimizers: [other], random: { drop: stream } })
    const resumed: number[] = []
    for (let i = 0; i < 3; i++) resumed.push(await step(back, other, stream))
    expect(resumed).toEqual(whole)
    expect(() => restore({ random: { other: stream } })).toThrow(/the state '@random.other' is missing/)
    expect(() => restore({ optimizers: [adamW(new Garden(), { rate: 1 })] })).toThrow(InputError)
  })

  test('masks are saved and put back where asked, and their shapes are checked', async () => {
    const make = () => new Tower(1),
      model = initialize(make(), 6),
      [[path, gate]] = gatesOf(model).filter(([, { kind }]) => kind === 'neurons')
    gate.mask = tensor(Float32Array.from({ length: 24 }, (_, i) => i % 2))
    const plain = await loadModel<Tower>(await encodeModel(model), { template: make(), masks: true })
    expect(gatesOf(plain.model).every(([, { mask }]) => mask === null)).toBe(true)
    const bytes = await encodeModel(model, { masks: true })
    const without = await loadModel<Tower>(bytes, { template: make() })
    expect(gatesOf(without.model).every(([, { mask }]) => mask === null)).toBe(true)
    const { model: back } = await loadModel<Tower>(bytes, { template: make(), masks: true })
    expect([...await new Map(gatesOf(back)).get(path)!.mask!.data()]).toEqual([...await gate.mask.data()])
    expect(await logits(back, 16)).toEqual(await logits(model, 16))

    const architecture: Architecture = {
      type: 'vit',
      image: 16,
      patch: 4,
      width: 24,
      depth: 1,
      heads: 3,
      hidden: 24,
      classes: 4,
    }
    const vit = initialize(buildModel(architecture), 7), heads = new Map(gatesOf(vit)).get('blocks.0.attention.heads')!
    const info = {
      architecture,
      preprocessing: defaultPreprocessing('cnn', 16, 3),
      naming: 'espalier',
      metadata: {},
      others: new Map(),
    }
    heads.mask = tensor(Float32Array.from([1, 0, 0.5]))
    const file = await encodeCheckpoint(vit, info, { masks: true })
    expect(await logits((await loadCheckpoint(file, { masks: true })).model, 16)).toEqual(await logits(vit, 16))
    expect(await logits((await loadCheckpoint(file)).model, 16)).not.toEqual(await logits(vit, 16))
    heads.mask = tensor(Float32Array.from({ length: 12 }, (_, i) => i % 2), [4, 3])
    const rows = await loadCheckpoint(await encodeCheckpoint(vit, info, { masks: true }), { masks: true })
    const labels = tensor(Int32Array.from([0, 3])), x = images(16)
    expect([...await withClassMasks(rows.model, labels, () => rows.model.call(x)).data()])
      .toEqual([...await withClassMasks(vit, labels, () => vit.call(x)).data()])
    for (const shape of [[2], [4, 2], [1, 2, 3]]) {
      heads.mask = zeros(shape)
      await expect(loadCheckpoint(await encodeCheckpoint(vit, info, { masks: true }))).rejects.toThrow(
        /mask 'blocks\.0\.attention\.heads\.mask' is \[.*\], expected \[3\] or \[classes,3\]/,
      )
    }
    await expect(encodeCheckpoint(vit, info, { masks: true, naming: 'timm-vit' })).rejects.toThrow(/no place for masks/)
  })

  test('what does not fit is refused in a sentence', async () => {
    const bytes = await encodeModel(new Garden(), { architecture: { type: 'unheard-of' } })
    await expect(loadModel(bytes)).rejects.toThrow(/'unheard-of' is not registered; call registerArchitecture/)
    await expect(loadModel(await encodeModel(new Garden()))).rejects.toThrow(/names no architecture; give a template/)
    await expect(loadModel(bytes, { template: new Tower() })).rejects.toThrow(/it (lacks|has) '.*', which the class/)
    const wide = { w: zeros([4, 4]) }
    await expect(loadModel(await encodeModel(wide), { template: { w: zeros([4, 3]) } })).rejects.toThrow(/is \[4,4\]/)
    await expect(loadModel(await encodeModel(wide), { template: { w: tensor(Int32Array.from([1])) } })).rejects.toThrow(
      InputError,
    )
    expect(() => registerArchitecture('resnet20', () => wide)).toThrow(/already/)
    const once = `once ${registered++}`
    registerArchitecture(once, () => wide)
    expect(() => registerArchitecture(once, () => wide)).toThrow(/already/)
    writeFileSync(at('junk.safetensors'), 'junk')
    await expect(loadModel(at('junk.safetensors'), { template: wide })).rejects.toThrow(InputError)
    const checkpoint = await encodeCheckpoint(buildModel({ type: 'mlp', hidden: [4] }), {
      architecture: { type: 'mlp', hidden: [4] },
      preprocessing: defaultPreprocessing('cnn', 28, 1),
      naming: 'espalier',
      metadata: {},
      others: new Map(),
    })
    await expect(loadModel(checkpoint)).rejects.toThrow(/expected a file that saveModel wrote/)
  })
})

// The network and the images that ship with the package: whole, small, and as good as their README says.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { modelOf, parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { evaluate } from '../../src/train/evaluate.ts'
import { openDataset } from '../../src/data/datasets.ts'
import { nodeFiles } from '../../src/files/files.ts'
import { packageFile } from '../../src/files/package.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { costOf } from '../../src/nn/macs.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { describeDevice } from '../support/device.ts'
import { shared } from '../support/golden.ts'

const file = (name: string) => packageFile(`models/data/cifar10/${name}`)
const record = 3073
const classes = JSON.parse(readFileSync(file('classes.json'), 'utf8')) as string[]

test('everything together stays under 4 MB', () => {
  const bytes = ['cifar10', 'digits'].flatMap((folder) =>
    readdirSync(packageFile(`models/data/${folder}`)).map((name) =>
      statSync(packageFile(`models/data/${folder}/${name}`)).size
    )
  )
  expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(4e6)
})

test('licences and origins are beside them and in NOTICE', () => {
  expect(readFileSync(file('LICENSE.txt'), 'utf8')).toContain('Yerlan Idelbayev')
  expect(readFileSync(file('README.md'), 'utf8')).toContain('Krizhevsky')
  const notice = readFileSync(packageFile('NOTICE'), 'utf8')
  for (const words of ['models/data/cifar10/', 'BSD-2-Clause', 'Krizhevsky']) expect(notice).toContain(words)
})

test('the checkpoint says what it is', async () => {
  const checked = await parseCheckpoint(await nodeFiles.read(file('resnet20.safetensors')), 'resnet20.safetensors')
  expect(checked.architecture).toMatchObject({ type: 'resnet', layers: [3, 3, 3], width: 16, stem: 'cifar' })
  expect(checked.classes).toEqual(classes)
  expect(classes[9]).toBe('truck')
  expect(checked.preprocessing).toMatchObject({
    resize: null,
    crop: null,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
  })
  expect(checked.metadata).toMatchObject({ licence: 'BSD-2-Clause' })
  expect(costOf(checked.shape, [3, 32, 32])).toMatchObject({ params: 269_722, macs: 40_551_040 })
})

test('the references are ten of each class, and no test image', () => {
  const images = (name: string) => {
    const bytes = readFileSync(file(name))
    expect(bytes.length % record).toBe(0)
    return Array.from({ length: bytes.length / record }, (_, i) => bytes.subarray(i * record, (i + 1) * record))
  }
  const references = images('train100.bin'), tests = images('test200.bin')
  expect([references.length, tests.length]).toEqual([100, 200])
  for (const label of classes.keys()) expect(references.filter(([first]) => first === label)).toHaveLength(10)
  // as every CIFAR-10 test set begins
  expect(tests.slice(0, 10).map(([label]) => label)).toEqual([3, 8, 8, 0, 6, 6, 1, 6, 3, 1])
  const seen = new Set(tests.map((bytes) => bytes.toString('base64', 1)))
  expect(references.some((bytes) => seen.has(bytes.toString('base64', 1)))).toBe(false)
})

test.skipIf(!existsSync(`${shared}/data/weights/resnet20_cifar10.safetensors`))(
  'weights and images are those of their origin',
  async () => {
    const ours = parseSafetensors(await nodeFiles.read(file('resnet20.safetensors')), 'ours').tensors
    const origin =
      parseSafetensors(await nodeFiles.read(`${shared}/data/weights/resnet20_cifar10.safetensors`), 'origin').tensors
    expect([...ours.keys()].sort()).toEqual([...origin.keys()].sort())
    for (const [name, tensor] of ours) expect(tensor, name).toEqual(origin.get(name))
    const test700 = readFileSync(`${shared}/data/cifar10/test700.bin`)
    expect(readFileSync(file('test200.bin')).equals(test700.subarray(0, 200 * record))).toBe(true)
  },
)

describeDevice('the packaged network', () => {
  test('gets 182 of 200 test images right, and all the references', async () => {
    const checked = await parseCheckpoint(await nodeFiles.read(file('resnet20.safetensors')), 'resnet20.safetensors')
    const model = modelOf(checked)
    const figures = async (name: string) => {
      const { top1, top5, images } = await evaluate(
        model,
        await openDataset(`cifar10:${file(name)}`, {
          preprocessing: checked.preprocessing,
          classes: checked.classCount,
        }),
        { batch: 50 },
      )
      return { right: Math.round(top1 * images), top5, images }
    }
    expect(await figures('test200.bin')).toEqual({ right: 182, top5: 1, images: 200 })
    expect(await figures('train100.bin')).toEqual({ right: 100, top5: 1, images: 100 })
    disposeTree(model)
  }, 240_000)
})

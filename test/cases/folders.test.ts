// Labels go by name and pictures are brought to what the network reads: one small network, trained once, tells red from
// green, and folders in every order, with links and strangers, give its accuracy. Fresh processes, real files.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { lively, numbers, rawSafetensors } from '../support/case-files.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { cifarResNet } from '../support/foreign-files.ts'
import { cmykJpeg } from '../support/jpeg.ts'
import { scratch } from '../support/model.ts'
import { pngOf } from '../support/png.ts'

const dir = scratch()
const net = join(dir, 'net.safetensors')
const named = join(dir, 'named.safetensors')
const architecture = '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":4}'
let cli = '', count = 0

// Several processes each, on machines that do other work too.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

const next = numbers(11)
/** A noisy square, red or green. */
const picture = (colour: 'red' | 'green', side = 32) => {
  const strong = colour === 'red' ? 0 : 1
  const samples = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i % 3 === strong ? 190 : 20) + 40 * next())
  return pngOf({ width: side, height: side, depth: 8, perPixel: 3, samples })
}

/** A folder with such pictures of each class, and further files. */
function tree(
  classes: Record<string, 'red' | 'green'>,
  files: Record<string, string | Uint8Array> = {},
  each = 3,
): string {
  const at = join(dir, String(count++))
  for (const [name, colour] of Object.entries(classes)) {
    for (let i = 0; i < each; i++) files[`${name}/${i}.png`] ??= picture(colour)
  }
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(at, file)), { recursive: true })
    writeFileSync(join(at, file), content)
  }
  return at
}

const espalier = (...args: string[]) => runNode(cli, [...args, '--adapter', 'cpu'])
async function json<T>(...args: string[]): Promise<T & { stderr: string }> {
  const ended = await espalier(...args, '--json')
  expect(ended).toMatchObject({ code: 0 })
  return { ...JSON.parse(ended.stdout) as T, stderr: ended.stderr }
}
interface Evaluated {
  top1: number
  images: number
  loss: number
}
const evaluated = (network: string, data: string) => json<Evaluated>('eval', network, '--data', data)

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cases-folders')
  const flags = ['--epochs', '8', '--batch', '4', '--rate', '0.01', '--resize', '32', '--crop', '32']
  const list = tree({ red: 'red', green: 'green' }, {}, 4)
  const pictures = ['red', 'green'].flatMap((name, label) =>
    [0, 1, 2, 3].map((i) => ({ file: `${name}/${i}.png`, label }))
  )
  writeFileSync(`${list}.json`, JSON.stringify(pictures))
  const folder = tree({ cat: 'green', dog: 'red' }, { 'classes.json': '["dog","cat"]' }, 4)
  for (
    const [data, more, out] of [[`images:${list}.json`, ['--classes', '2'], net], [
      `folder:${folder}`,
      [],
      named,
    ]] as const
  ) {
    expect(await espalier('train', architecture, '--data', data, ...more, ...flags, '--out', out)).toMatchObject({
      code: 0,
    })
  }
})

describe('a network without class names takes folders in the order of their names', () => {
  test.each([['apple', 'apple pie'], ['a', 'a!b'], ['x', 'x-1'], ['Zebra', 'ant']])('%j, %j', async (first, second) => {
    expect(await evaluated(net, `folder:${tree({ [second]: 'green', [first]: 'red' })}`)).toMatchObject({
      top1: 1,
      images: 6,
    })
  })
})

describe('a network with class names takes folders by name', () => {
  test('in their own order, and some of them', async () => {
    expect(await evaluated(named, `folder:${tree({ cat: 'green', dog: 'red' })}`)).toMatchObject({ top1: 1, images: 6 })
    const part = await evaluated(named, `folder:${tree({ cat: 'green' })}`)
    expect(part).toMatchObject({ top1: 1, images: 3 })
    expect(part.stderr).toMatch(/1 of 2 classes/)
  })

  test('a name that it lacks is refused', async () => {
    const { code, stderr } = await espalier('eval', named, '--data', `folder:${tree({ cat: 'green', dgo: 'red' })}`)
    expect(code).toBe(2)
    expect(stderr).toMatch(/no class "dgo", it knows "dog", "cat"/)
  })

  test('classes.json in another order is followed by name', async () => {
    const at = tree({ cat: 'green', dog: 'red' }, { 'classes.json': '["cat","dog"]' })
    expect(await evaluated(named, `folder:${at}`)).toMatchObject({ top1: 1, images: 6 })
  })
})

test('hidden entries are left out, links are followed, other formats are counted', async () => {
  const real = tree({ cat: 'green', dog: 'red' })
  const at = tree({}, {
    '.ipynb_checkpoints/0-checkpoint.png': picture('red'),
    '.DS_Store': 'x',
    'ant/0.png': picture('red'),
    'ant/._0.png': 'no picture',
    'ant/1.webp': 'RIFF',
  })
  for (const name of ['cat', 'dog']) symlinkSync(join(real, name), join(at, name))
  symlinkSync('..', join(real, 'cat', 'up')) // a loop
  const out = join(dir, 'three.safetensors')
  const trained = await espalier(
    'train',
    architecture,
    '--data',
    `folder:${at}`,
    '--epochs',
    '1',
    '--batch',
    '7',
    '--resize',
    '32',
    '--crop',
    '32',
    '--out',
    out,
  )
  expect(trained).toMatchObject({ code: 0 })
  expect(trained.stderr).toMatch(/1 \.webp/)
  expect(await json('inspect', out)).toMatchObject({ classes: ['ant', 'cat', 'dog'] })
})

describe('--class', () => {
  test.each([
    [['crane', 'crane'], 'crane', /several classes have that name; give a number: 0 \("crane"\), 1 \("crane"\)/],
    [['1', '0'], '1', /say id:1 or name:1/],
    [['tench', 'kite'], 'crane', /no class of that name/],
  ])('%j: %s is refused', async (classes, wanted, sentence) => {
    const at = tree({}, {
      'model.safetensors': readFileSync(net),
      'classes.json': JSON.stringify(classes),
      'a.png': picture('red'),
    })
    const ended = await espalier(
      'explain',
      join(at, 'model.safetensors'),
      '--image',
      join(at, 'a.png'),
      '--class',
      wanted,
      '--out',
      join(at, 'map.png'),
    )
    expect(ended.stderr).toMatch(sentence)
    expect(ended.code).toBe(2)
  })
})

test.each([[200], [48]])('a photo of %d pixels is brought to the 32 of the network, and that is said', async (side) => {
  const at = tree({}, {
    'photo.png': picture('green', side),
    'foreign.safetensors': rawSafetensors(lively(cifarResNet({ classes: 2 }))),
  })
  writeFileSync(`${at}.json`, JSON.stringify([{ file: 'photo.png', label: 1 }]))
  const flags = ['eval', join(at, 'foreign.safetensors'), '--data', `images:${at}.json`]
  const as = await json<Evaluated>(...flags)
  expect(as).toMatchObject({ preprocessing: { resize: 32, crop: 32 }, origins: { resize: 'size of the network' } })
  expect(as.loss).toBe((await json<Evaluated>(...flags, '--resize', '32', '--crop', '32')).loss)
  expect(as.loss).not.toBe((await json<Evaluated>(...flags, '--resize', 'none', '--crop', 'none')).loss)
})

test('pictures of one content in two files give one answer: interlaced PNG, CMYK without a marker', async () => {
  const grey = (depth: 1 | 2 | 4) => {
    const samples = Uint8Array.from({ length: 32 * 32 }, () => Math.floor(next() * 2 ** depth))
    return [true, false].map((interlaced) => pngOf({ width: 32, height: 32, depth, samples, interlaced }))
  }
  const palette = Array.from({ length: 16 }, (_, i) => [i * 17, 255 - i * 9, i * 5])
  const indices = Uint8Array.from({ length: 32 * 32 }, () => Math.floor(next() * 16))
  const fixtures = readFileSync(new URL('../fixtures/images.safetensors', import.meta.url))
  const jpeg = Buffer.from(parseSafetensors(fixtures, 'images').tensors.get('file.cmyk.jpg')!.data as Uint8Array)
  const marker = jpeg.indexOf('ffee', 0, 'hex'), rest = marker + 2 + jpeg.readUInt16BE(marker + 2)
  const inks = (seed: number) => {
    const drawn = numbers(seed)
    return {
      across: 4,
      down: 4,
      values: Array.from({ length: 16 }, () => [0, 0, 0, 0].map(() => Math.floor(256 * drawn()))),
    }
  }
  const pairs: [string, readonly Uint8Array[]][] = [
    ...([1, 2, 4] as const).map((depth): [string, Buffer[]] => [`grey${depth}.png`, grey(depth)]),
    [
      'palette.png',
      [true, false].map((interlaced) =>
        pngOf({ width: 32, height: 32, depth: 4, palette, samples: indices, interlaced })
      ),
    ],
    ['cmyk.jpg', [Buffer.concat([jpeg.subarray(0, marker), jpeg.subarray(rest)]), jpeg]],
    ['cmyk-made.jpg', [cmykJpeg(inks(1)), cmykJpeg({ ...inks(1), adobe: 0 })]],
    ['cmyk-jfif.jpg', [cmykJpeg({ ...inks(2), jfif: true }), cmykJpeg({ ...inks(2), adobe: 0, restart: 3 })]],
  ]
  const losses = await [0, 1].reduce(async (before, side) => {
    const known = await before
    const at = tree({}, Object.fromEntries(pairs.map(([name, files]) => [name, files[side]])))
    writeFileSync(`${at}.json`, JSON.stringify(pairs.map(([file]) => ({ file, label: 1 }))))
    return [...known, (await evaluated(net, `images:${at}.json`)).loss]
  }, Promise.resolve<number[]>([]))
  expect(losses[0]).toBe(losses[1])
})

describe('batch norm never trains on one value per channel', () => {
  const deep = '{"type":"resnet","layers":[1,1,1,1],"width":4}',
    flags = ['--epochs', '1', '--resize', '32', '--crop', '32']
  test.each([[1, 4], [4, 5]])('batches of %d, %d pictures', async (batch, images) => {
    const at = tree({ red: 'red' }, { 'green/0.png': picture('green') }, images - 1), out = join(at, 'deep.safetensors')
    const ended = await espalier(
      'train',
      deep,
      '--data',
      `folder:${at}`,
      '--batch',
      String(batch),
      ...flags,
      '--out',
      out,
    )
    expect(`${ended.code} ${ended.stderr}`).toMatch(/one value per channel/)
  })
})

test.each([[['--multiple', '64']], [['--multiple', '24']], [['--multiple', '64', '--ranking', 'per-unit']]])(
  'prune %j leaves layers that are narrower whole',
  async (flags) => {
    const pruned = await json<{ units: { name: string, size: number, kept: number }[] }>(
      'prune',
      'models/data/cifar10/resnet20.safetensors',
      '--method',
      'magnitude',
      '--keep',
      '0.95',
      ...flags,
      '--out',
      join(dir, `pruned${count++}.safetensors`),
    )
    const multiple = Number(flags[1])
    for (const { size, kept } of pruned.units) {
      expect(kept === size || kept % multiple === 0 && kept > 0).toBe(true)
      if (size < multiple) expect(kept).toBe(size)
    }
  },
)

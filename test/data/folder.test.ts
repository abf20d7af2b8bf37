// Folders of pictures: labels by names, whatever order folders, classes.json and the network have; what is left out is
// said.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openDataset } from '../../src/data/datasets.ts'
import { byCodePoints } from '../../src/data/folder.ts'
import type { NetworkClasses } from '../../src/data/class-names.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { imageNetClasses } from '../../src/commands/classes.ts'
import { scratch } from '../support/model.ts'
import { pngOf } from '../support/png.ts'

const root = scratch(), preprocessing = defaultPreprocessing('cnn', 32)
const png = pngOf({ width: 8, height: 8, depth: 8, samples: new Uint8Array(64) })
let count = 0

/** A folder with these files: pictures unless content is given. */
function tree(files: readonly string[], texts: Record<string, unknown> = {}): string {
  const at = join(root, String(count++))
  for (const file of files) {
    mkdirSync(dirname(join(at, file)), { recursive: true })
    writeFileSync(join(at, file), png)
  }
  for (const [file, content] of Object.entries(texts)) writeFileSync(join(at, file), JSON.stringify(content))
  return at
}
const open = (at: string, classes?: NetworkClasses) => openDataset(`folder:${at}`, { preprocessing, classes })
const readAll = async (at: string) => {
  for await (const batch of (await open(at)).batches({ size: 4 })) expect(batch.labels.length).toBeGreaterThan(0)
}
const network = (...names: string[]): NetworkClasses => ({ count: names.length, names })

describe('labels follow the sorted names of folders', () => {
  test.each([
    [['apple', 'apple pie'], ['apple', 'apple pie']],
    [['a', 'a!b', 'a-b', 'a.b'], ['a', 'a!b', 'a-b', 'a.b']],
    [['cat', 'Cat', 'ÉTÉ', 'été'], ['Cat', 'cat', 'ÉTÉ', 'été']],
    [['\u{1F408}', '\uFB01sh'], ['\uFB01sh', '\u{1F408}']], // by code points, as Python does, not by UTF-16 units
  ])('%j', async (names, sorted) => {
    const { classes, labels } = await open(tree(names.map((name) => `${name}/x.png`)))
    expect(classes).toEqual(sorted)
    expect([...labels]).toEqual([...sorted.keys()])
    expect(names.toSorted(byCodePoints)).toEqual(sorted)
  })

  test('folders that are numbers are sorted as text, and that is said', async () => {
    const { classes, notes } = await open(tree(['2/a.png', '10/a.png', '0/a.png']))
    expect(classes).toEqual(['0', '10', '2'])
    expect(notes!.join()).toMatch(/sorted as text.*"10" is class 1/)
    expect((await open(tree(['0/a.png', '1/a.png']))).notes).toEqual([])
  })
})

describe('what is in the folder', () => {
  test('hidden entries are left out, links are followed, loops end', async () => {
    const at = tree(['ant/1.png', '.ipynb_checkpoints/1.png', 'ant/._1.png', 'ant/.cache/2.png'])
    const real = tree(['cat/1.png', 'cat/deep/2.png', 'one.png'])
    symlinkSync(join(real, 'cat'), join(at, 'cat'))
    symlinkSync(join(real, 'cat'), join(at, 'dog'))
    symlinkSync(join(real, 'one.png'), join(at, 'ant', '2.png'))
    symlinkSync('..', join(at, 'ant', 'up'))
    symlinkSync('.', join(real, 'cat', 'again'))
    const { classes, length, notes } = await open(at)
    expect(classes).toEqual(['ant', 'cat', 'dog'])
    expect(length).toBe(2 + 2 + 2)
    expect(notes).toEqual([])
  })

  test.each(['missing.png', '/nowhere/at all.png', 'no such file'])(
    'a link to %j, which is not there',
    async (target) => {
      const at = tree(['ant/1.png', 'bee/1.png'])
      symlinkSync(target, join(at, 'bee', '2.png'))
      await expect(readAll(at)).rejects.toThrow(
        new RegExp(`bee/2\\.png: it is a link to ['"]${target}['"], and there is no such file; mend the link`),
      )
    },
  )

  test('pictures of other formats are counted', async () => {
    const { notes, length } = await open(tree(['a/1.png', 'a/2.webp', 'a/3.webp', 'b/1.jpg', 'b/2.GIF', 'b/notes.txt']))
    expect(length).toBe(2)
    expect(notes!.join()).toMatch(/2 \.webp, 1 \.gif left out/)
  })

  test('a class of which nothing is read is refused where it would move others, else said', async () => {
    for (const files of [['a/1.webp', 'b/1.png', 'c/1.png'], ['b/1.png', 'c/1.png', 'd/readme.txt']]) {
      await expect(open(tree(files))).rejects.toThrow(/nothing is read from the folder "[ad]"/)
      const { labels, notes } = await open(tree(files, { 'classes.json': ['a', 'b', 'c', 'd'] }))
      expect([...labels]).toEqual([1, 2])
      expect(notes!.join()).toMatch(/no picture is read from "[ad]" \(1 \.(webp|txt)\)/)
      expect([...(await open(tree(files), network('c', 'b', 'a', 'd'))).labels]).toEqual([1, 0])
    }
    const bare = tree(['b/1.png', 'c/1.png'])
    mkdirSync(join(bare, 'empty'))
    await expect(open(bare)).rejects.toThrow(/folder "empty"/)
    await expect(open(tree(['a/1.webp', 'b/1.bmp']))).rejects.toThrow(/1 \.webp, 1 \.bmp, which are not read/)
  })
})

describe("a network's class names", () => {
  test('map folders by name, a part of them included', async () => {
    const at = tree(['cat/1.png', 'dog/1.png'])
    const { labels, classes, notes } = await open(at, network('dog', 'cat'))
    expect([...labels]).toEqual([1, 0])
    expect(classes).toEqual(['dog', 'cat'])
    expect(notes!.join()).toMatch(/labels follow the network's class names/)
    const part = await open(at, network('eel', 'dog', 'cat', 'cow'))
    expect([...part.labels]).toEqual([2, 1])
    expect(part.notes!.join()).toMatch(/2 of 4 classes/)
    expect([...(await open(at, network('tabby, Cat', 'hot_dog', 'DOG'))).labels]).toEqual([0, 2])
  })

  test('folders they lack are refused, and names that mean several classes', async () => {
    const at = tree(['cat/1.png', 'crane/1.png', 'dgo/1.png'])
    await expect(open(at, network('cat', 'crane', 'dog'))).rejects.toThrow(/no class "dgo", it knows "cat", "crane"/)
    const birds = tree(['crane/1.png', 'emu/1.png'])
    await expect(open(birds, network('emu', 'crane', 'crane'))).rejects.toThrow(/"crane", numbers 1 and 2/)
  })

  test('a network without names needs the same number of folders', async () => {
    const at = tree(['cat/1.png', 'dog/1.png'])
    expect([...(await open(at, { count: 2 })).labels]).toEqual([0, 1])
    await expect(open(at, { count: 3 })).rejects.toThrow(/2 classes, the network tells 3 apart and does not name them/)
  })

  test('classes.json in another order than the network is brought to its order', async () => {
    const at = tree(['n1/1.png', 'n2/1.png'], {
      'classes.json': [{ name: 'cat', wnid: 'n2' }, { name: 'dog', wnid: 'n1' }],
    })
    expect([...(await open(at)).labels]).toEqual([1, 0])
    expect([...(await open(at, network('dog', 'cat'))).labels]).toEqual([0, 1])
    expect([...(await open(at, network('n1', 'n2'))).labels]).toEqual([0, 1])
  })

  test('image lists go by name too; names spelt otherwise are taken as numbers, and that is said', async () => {
    const at = tree(['list/a.png', 'list/b.png'], {
      'list.json': [{ file: 'a.png', label: 0 }, { file: 'b.png', label: 1 }],
      'classes.json': ['cat', 'dog'],
    })
    const list = (classes: NetworkClasses) => openDataset(`images:${at}/list.json`, { preprocessing, classes })
    expect([...(await list(network('dog', 'cat'))).labels]).toEqual([1, 0])
    const other = await list(network('Katze', 'Hund'))
    expect([...other.labels]).toEqual([0, 1])
    expect(other.notes!.join()).toMatch(/labels are taken as numbers/)
    await expect(list(network('dog', 'Katze'))).rejects.toThrow(/no class "cat"/)
  })

  test('WordNet ids and names of ImageNet are known', async () => {
    const { names, ids } = imageNetClasses()
    expect([names.length, ids.length, new Set(ids).size]).toEqual([1000, 1000, 1000])
    const imageNet = { count: 1000, names, ids, assumed: true }
    expect([...(await open(tree(['n02012849/1.png', 'n03126707/1.png']), imageNet)).labels]).toEqual([134, 517])
    expect([...(await open(tree(['goldfish/1.png', 'tench/1.png']), imageNet)).labels]).toEqual([1, 0])
    await expect(open(tree(['crane/1.png', 'tench/1.png']), imageNet)).rejects.toThrow(/numbers 134 and 517/)
  })
})

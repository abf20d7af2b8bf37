// Of a file that is large and not what it should be, only the start is read: Node reads none above 2 GiB, so the
// sentence about its content tells that no more was.
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { openDataset } from '../../src/data/datasets.ts'
import { loadImage } from '../../src/data/picture.ts'
import { loadModel } from '../../src/checkpoint/model-file.ts'
import { readCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { nodeFiles } from '../../src/files/files.ts'
import { scratch } from '../support/model.ts'

const dir = scratch(), preprocessing = defaultPreprocessing('cnn', 32), size = 2 ** 31 + 2 ** 20

/** A file of 2 GiB and some, without blocks on the disk but for its start. */
function large(name: string, start: string | Uint8Array = ''): string {
  const path = join(dir, name)
  writeFileSync(path, start)
  truncateSync(path, size)
  return path
}

describe('a large file of', () => {
  test("zeros, as a checkpoint, a model of one's own, tensors, a list and a picture", async () => {
    const zeros = /found nothing but zeros at its start/
    await expect(readCheckpoint(large('net.safetensors'))).rejects.toThrow(zeros)
    await expect(loadModel(large('own.safetensors'))).rejects.toThrow(zeros)
    await expect(openDataset(`tensors:${large('data.safetensors')}`, { preprocessing })).rejects.toThrow(zeros)
    await expect(openDataset(`images:${large('list.json')}`, { preprocessing })).rejects.toThrow(/not valid JSON/)
    await expect(loadImage(large('picture.png'), preprocessing)).rejects.toThrow(/starts with 0x00 0x00/)
    mkdirSync(join(dir, 'folder', 'ant'), { recursive: true })
    large('folder/ant/a.png')
    const set = await openDataset(`folder:${join(dir, 'folder')}`, { preprocessing })
    await expect(set.inputShape()).rejects.toThrow(/a\.png: .*starts with 0x00/)
  })

  test.each([
    ['a pickle', 'net.pth', Uint8Array.of(0x80, 2, 0x7d, 0x71, 0), /a Python pickle/],
    ['an archive', 'net.safetensors', Uint8Array.of(0x1f, 0x8b, 8), /a gzip archive/],
    [
      'a header longer than the file',
      'net.safetensors',
      Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0x7b),
      /claims 4294967296/,
    ],
    [
      'bytes behind a whole network',
      'net.safetensors',
      readFileSync('models/data/cifar10/resnet20.safetensors').subarray(0, 2 ** 19),
      /bytes after the last tensor belong to no tensor/,
    ],
  ])('%s', async (_, name, start, sentence) => {
    await expect(readCheckpoint(large(name, start))).rejects.toThrow(sentence)
  })
})

test('the start of a large file is shown with its size, that of a small one is not', async () => {
  const path = join(dir, 'some.bin'), seen: [number, number, number][] = []
  const check = (start: Uint8Array, bytes: number) => {
    seen.push([start.length, start[70], bytes])
  }
  writeFileSync(path, new Uint8Array(100).fill(7))
  expect(await nodeFiles.read(path, check)).toHaveLength(100)
  expect(seen).toEqual([])
  truncateSync(path, 33 * 2 ** 20)
  expect(await nodeFiles.read(path, check)).toHaveLength(33 * 2 ** 20)
  expect(seen).toEqual([[2 ** 20, 7, 33 * 2 ** 20]])
})

import { expect, test } from 'vitest'
import { openDataset } from '../../src/data/datasets.ts'
import { cached } from '../../src/data/subset.ts'

const open = () =>
  openDataset('cifar10:models/data/cifar10/test200.bin', {
    preprocessing: {
      resize: null,
      crop: null,
      interpolation: 'bilinear',
      mean: [0, 0, 0],
      std: [1, 1, 1],
      channels: 3,
      cropRounding: 'floor',
    },
  })

/** Every image of a data set, in the order of its batches. */
async function imagesOf(
  data: Awaited<ReturnType<typeof cached>>,
  size: number,
): Promise<{ images: number[], labels: number[] }> {
  const images: number[] = [], labels: number[] = []
  for await (const batch of data.batches({ size })) {
    for (const value of batch.images) images.push(value)
    labels.push(...batch.labels)
  }
  return { images, labels }
}

test('held images are those of the data set, whether somebody watches or not', async () => {
  const data = await open(), positions = Array.from({ length: 75 }, (_, i) => (i * 37) % 200), seen: number[] = []
  const size = (await data.inputShape()).reduce((a, b) => a * b, 1)
  const watched = await cached(data, positions, (done) => {
      seen.push(done)
    }),
    quiet = await cached(data, positions)
  expect(seen.at(-1)).toBe(75)
  const { images, labels } = await imagesOf(quiet, 16)
  expect(await imagesOf(watched, 75)).toEqual({ images, labels })
  expect(labels).toEqual(positions.map((at) => data.labels[at]))
  for (const at of [0, 31, 32, 63, 64, 74]) { // on both sides of the batches it is read in
    for await (const one of data.batches({ size: 1, only: [positions[at]] })) {
      expect(images.slice(at * size, (at + 1) * size)).toEqual([...one.images])
    }
  }
})

test('part of what is held can be held', async () => {
  const whole = await cached(await open()), part = await cached(whole, Array.from({ length: 70 }, (_, i) => 199 - i))
  const all = await imagesOf(whole, 50), some = await imagesOf(part, 50), size = all.images.length / 200
  for (const i of [0, 40, 69]) {
    expect(some.images.slice(i * size, (i + 1) * size)).toEqual(all.images.slice((199 - i) * size, (200 - i) * size))
  }
  expect(some.labels).toEqual(all.labels.toReversed().slice(0, 70))
})

test('what is held goes by the names of its files, and leaves out a last batch as the data set does', async () => {
  const data = await open(), held = await cached(await cached(data, [7, 5, 3, 9, 11]), [3, 1, 0])
  expect([0, 1, 2].map((at) => held.nameOf?.(at))).toEqual(
    [9, 5, 7].map((at) => `models/data/cifar10/test200.bin, record ${at}`),
  )
  const sizes: number[] = []
  for await (const { shape } of held.batches({ size: 2, dropLast: true })) sizes.push(shape[0])
  expect(sizes).toEqual([2])
})

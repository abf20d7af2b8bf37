import { describe, expect, it } from 'vitest'
import { augmentPixels, checkAugmentation, erase, mirror, mixBatch } from '../../src/data/augment.ts'
import { brightness, colourfulness, contrast, equalize, posterize, solarize, stretchContrast,
  warp } from '../../src/data/colour.ts'
import type { Pixels } from '../../src/data/images.ts'
import { random } from '../../src/base/random.ts'

const picture: Pixels = {
  width: 5,
  height: 4,
  channels: 3,
  data: Uint8Array.from({ length: 60 }, (_, i) => 20 + i * 3),
}

describe('geometry', () => {
  it('mirror reverses each row and is its own inverse', () => {
    expect([...mirror(picture).data.subarray(0, 5)]).toEqual([...picture.data.subarray(0, 5)].reverse())
    expect(mirror(mirror(picture)).data).toEqual(picture.data)
  })

  it('padded crop shifts by at most the padding and fills with black', () => {
    for (let seed = 0; seed < 40; seed++) {
      const { data } = augmentPixels(picture, { padCrop: 2 }, random(seed, 0), null, 'bilinear')
      let matches = 0
      for (let dy = -2; dy <= 2; dy++) {
        for (let dx = -2; dx <= 2; dx++) {
          const shifted = data.every((v, i) => {
            const x = i % 5 + dx, y = Math.floor(i / 5) % 4 + dy, c = Math.floor(i / 20)
            return v === (x < 0 || y < 0 || x > 4 || y > 3 ? 0 : picture.data[(c * 4 + y) * 5 + x])
          })
          if (shifted) matches++
        }
      }
      expect(matches).toBe(1)
    }
  })

  it('resized crop delivers the size asked for', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { width, height } = augmentPixels(picture, { resizedCrop: [0.1, 1] }, random(seed, 0), 7, 'bicubic')
      expect([width, height]).toEqual([7, 7])
    }
  })

  it('warp by whole pixels moves them', () => {
    const moved = warp(picture, [1, 0, 1, 0, 1, 0])
    expect([...moved.data.subarray(0, 5)]).toEqual([...picture.data.subarray(1, 5), 128])
  })

  it('RandAugment keeps the size and repeats with the seed', () => {
    for (let seed = 0; seed < 60; seed++) {
      const run = () =>
        augmentPixels(picture, { randAugment: { ops: 3, magnitude: 10 } }, random(seed, 1), null, 'bilinear')
      expect(run()).toEqual(run())
      expect(run().data.length).toBe(60)
    }
  })
})

describe('colour', () => {
  it('factor 1 changes nothing, other operations do what their names say', () => {
    for (
      const same of [
        brightness(picture, 1),
        contrast(picture, 1),
        colourfulness(picture, 1),
        posterize(picture, 8),
        solarize(picture, 256),
      ]
    ) {
      expect(same.data).toEqual(picture.data)
    }
    expect(Math.max(...brightness(picture, 0).data)).toBe(0)
    expect(new Set(contrast(picture, 0).data).size).toBe(1)
    const grey = colourfulness(picture, 0).data
    expect(grey.subarray(0, 20)).toEqual(grey.subarray(40))
    expect(posterize(picture, 4).data.every((v) => v % 16 === 0)).toBe(true)
    expect([...solarize(picture, 0).data]).toEqual([...picture.data].map((v) => 255 - v))
    const stretched = stretchContrast(picture).data.subarray(0, 20)
    expect([Math.min(...stretched), Math.max(...stretched)]).toEqual([0, 255])
    const flat = equalize(picture).data.subarray(0, 20)
    expect([flat[0], flat[19]]).toEqual([0, 255])
    expect([...flat]).toEqual([...flat].sort((a, b) => a - b))
  })
})

describe('batch', () => {
  const [n, c, h, w] = [5, 2, 6, 6] as const, size = c * h * w, labels = Int32Array.of(0, 1, 2, 0, 1)
  const fresh = () => Float32Array.from({ length: n * size }, (_, i) => Math.floor(i / size))

  it('mixup blends with the mirror image of the batch in the share of the labels', () => {
    const images = fresh(), soft = mixBatch(images, [n, c, h, w], labels, 3, { mixup: 1 }, random(3, 0))
    const share = (images[0] - 4) / -4
    expect(share).toBeGreaterThan(0)
    expect(share).toBeLessThan(1)
    expect(soft[0]).toBeCloseTo(share, 5)
    expect(soft[1]).toBeCloseTo(1 - share, 5)
    expect(images[2 * size]).toBe(2) // the middle one meets itself
    expect(soft[2 * 3 + 2]).toBeCloseTo(1, 6)
  })

  it('cutmix pastes a rectangle whose area is the share of the labels', () => {
    for (let seed = 0; seed < 20; seed++) {
      const images = fresh(), soft = mixBatch(images, [n, c, h, w], labels, 3, { cutmix: 1 }, random(seed, 0))
      const foreign = images.subarray(0, h * w).filter((v) => v === 4).length
      expect(images.subarray(0, size).every((v) => v === 0 || v === 4)).toBe(true)
      expect(images.subarray(4 * size).filter((v) => v === 0).length).toBe(foreign * c)
      expect(soft[1]).toBeCloseTo(foreign / (h * w), 5)
    }
  })

  it('erasing touches a rectangle in all channels, or nothing', () => {
    const images = new Float32Array(n * size)
    erase(images, size, [c, h, w], 1, random(1, 0))
    const touched = [...images.keys()].filter((i) => images[i] !== 0)
    expect(touched.length).toBeGreaterThan(0)
    expect(touched.every((i) => i >= size && i < 2 * size)).toBe(true)
    expect(touched.filter((i) => i < size + h * w).length * c).toBe(touched.length)
    const untouched = new Float32Array(n * size)
    erase(untouched, 0, [c, h, w], 0, random(1, 0))
    expect(untouched.every((v) => v === 0)).toBe(true)
  })

  it('refuses parameters out of range', () => {
    expect(() => checkAugmentation({ flip: 2 })).toThrow(/flip must lie in 0\.\.1/)
    expect(() => checkAugmentation({ resizedCrop: [0.5, 0.2] })).toThrow(/resizedCrop/)
  })
})

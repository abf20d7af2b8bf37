import { decode } from 'fast-png'
import { expect, test } from 'vitest'
import { Canvas } from '../../src/report/canvas.ts'
import { glyph } from '../../src/report/font.ts'
import { diverging, fullScale, heatmapOf, pictureOf, sheet, smoothed } from '../../src/report/heatmap.ts'

/** sRGB to Oklab, by the inverse of the published matrices: an own path back for the check. */
function oklab([r, g, b]: readonly number[]): [number, number, number] {
  const light = (value: number) => {
    const x = value / 255
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4
  }
  const [R, G, B] = [light(r), light(g), light(b)]
  const l = Math.cbrt(0.4122214708 * R + 0.5363325363 * G + 0.0514459929 * B)
  const m = Math.cbrt(0.2119034982 * R + 0.6806995451 * G + 0.1073969566 * B)
  const s = Math.cbrt(0.0883024619 * R + 0.2817188376 * G + 0.6299787005 * B)
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ]
}

const distance = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((value, i) => value - b[i]))

test('equal steps of the colour map look equally far apart, on both sides', () => {
  for (const side of [-1, 1]) {
    const steps = Array.from(
      { length: 10 },
      (_, i) => distance(oklab(diverging(side * i / 10)), oklab(diverging(side * (i + 1) / 10))),
    )
    const mean = steps.reduce((a, b) => a + b, 0) / 10
    for (const step of steps) expect(Math.abs(step / mean - 1)).toBeLessThan(0.12) // 8-bit rounding
  }
  expect(Math.abs(oklab(diverging(1))[0] - oklab(diverging(-1))[0])).toBeLessThan(0.05)
  const [red, , blue] = diverging(1), [r, , b] = diverging(-1)
  expect(red).toBeGreaterThan(blue)
  expect(b).toBeGreaterThan(r)
  expect(diverging(7)).toEqual(diverging(1))
  expect(Math.min(...diverging(0))).toBeGreaterThan(240)
})

test('channels are summed, the scale leaves single pixels out, smoothing keeps a flat map', () => {
  const map = heatmapOf(Float32Array.of(1, 2, 3, 4, 10, 20, 30, 40), 2, 2, 2)
  expect([...map.values]).toEqual([11, 22, 33, 44])
  const spiked = { width: 40, height: 10, values: new Float32Array(400).fill(-2) }
  spiked.values[5] = 1000
  expect(fullScale(spiked)).toBe(2)
  expect(fullScale({ width: 1, height: 1, values: Float32Array.of(0) })).toBe(1)
  const flat = smoothed({ width: 112, height: 3, values: new Float32Array(336).fill(3) })
  expect(Math.max(...flat.values.map((value) => Math.abs(value - 3)))).toBeLessThan(1e-5)
})

test('every printable character has a glyph of its own, others a question mark', () => {
  const seen = new Set(Array.from({ length: 95 }, (_, i) => {
    const rows = glyph(String.fromCharCode(32 + i))
    expect(rows).toHaveLength(9)
    expect(rows.every((row) => /^[.#]{5}$/.test(row))).toBe(true)
    return rows.join()
  }))
  expect(seen.size).toBe(95)
  expect(glyph('ü')).toEqual(glyph('?'))
})

test('a sheet is a PNG with the image, its map and its overlay', () => {
  const input = Float32Array.from({ length: 3 * 4 * 4 }, (_, i) => i < 16 ? 1 : 0)
  const picture = pictureOf(input, 3, 4, 4, { mean: [0, 0, 0], std: [1] })
  expect([picture.data[0], picture.data[16], picture.data[32]]).toEqual([255, 0, 0])
  const heatmap = { width: 4, height: 4, values: Float32Array.from({ length: 16 }, (_, i) => i % 4 < 2 ? 1 : -1) }
  const panels = [{ heading: 'epsilon', subheading: 'cat', note: 'logit 3', heatmap }]
  const canvas = sheet([{ name: 'image', picture, best: ['90 % cat'], panels }], 'model')
  const { width, height, data, channels } = decode(canvas.png())
  expect([width, height, channels]).toEqual([canvas.width, canvas.height, 3])
  const at = (x: number, y: number) => [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)]
  const row = 200 // through the middle of the tiles, which are 320 wide with 14 between
  expect(at(14 + 100, row)).toEqual([255, 0, 0])
  expect(at(348 + 50, row)).toEqual([...diverging(1)])
  expect(at(348 + 270, row)).toEqual([...diverging(-1)])
})

test('text is cut to its width', () => {
  const canvas = new Canvas(100, 20)
  canvas.text(0, 0, 'abcdefghijklmnop', { scale: 1, width: 60 })
  const column = (i: number) => Math.floor(i / 3) % 100
  const dark = (from: number, to: number) =>
    canvas.data.some((value, i) => value < 100 && column(i) >= from && column(i) < to)
  expect(dark(0, 60)).toBe(true)
  expect(dark(60, 100)).toBe(false)
})

// Rows out of deflate and row filters, each filter against its definition (PNG, section 9.2), and Adam7's places.
import { deflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { inflatedRows, type RowLayout } from '../../src/data/png-rows.ts'

const grey = (width: number, height: number): RowLayout => ({ width, height, depth: 8, samples: 1, interlaced: false })

async function rows(raw: number[][], layout: RowLayout, parts = 1) {
  const packed = deflateSync(Uint8Array.from(raw.flat())),
    each = Math.ceil(packed.length / parts),
    found: number[][] = []
  const data = Array.from({ length: parts }, (_, i) => packed.subarray(i * each, (i + 1) * each))
  await inflatedRows(data, layout, (line) => found.push([...line]))
  return found
}

describe('filters', () => {
  const before = [0, 10, 20, 30]
  test.each([
    ['none', [0, 1, 2, 3], [1, 2, 3]],
    ['left', [1, 1, 2, 3], [1, 3, 6]],
    ['up', [2, 1, 2, 255], [11, 22, 29]],
    // floor((left + up) / 2): 5 + 1, floor(26 / 2) + 2, floor(45 / 2) + 3
    ['average', [3, 1, 2, 3], [6, 15, 25]],
    // up 10; left 11, up 20, corner 10 -> 21, nearest up; left 22, up 30, corner 20 -> 32, nearest up
    ['Paeth', [4, 1, 2, 3], [11, 22, 33]],
  ])('%s', async (_, line, expected) => {
    expect(await rows([before, line], grey(3, 2))).toEqual([[10, 20, 30], expected])
  })

  test('reach one whole pixel to the left', async () => {
    const layout = { ...grey(2, 1), samples: 3 }
    expect(await rows([[1, 1, 2, 3, 10, 10, 10]], layout)).toEqual([[1, 2, 3, 11, 12, 13]])
  })

  test('that do not exist are refused', async () => {
    await expect(rows([[5, 0]], grey(1, 1))).rejects.toThrow('row filter 5')
  })
})

test('pixel data may come in any pieces', async () => {
  const raw = Array.from({ length: 9 }, (_, y) => [0, y, y + 1])
  expect(await rows(raw, grey(2, 9), 7)).toEqual(raw.map((line) => line.slice(1)))
})

test('data that end early or go on are refused', async () => {
  await expect(rows([[0, 1]], grey(1, 2))).rejects.toThrow('ends before the last row')
  await expect(rows([[0, 1], [0, 1]], grey(1, 1))).rejects.toThrow('more pixel data than its header promises')
})

test('Adam7: every pixel is visited once, in the order of the passes', async () => {
  const width = 5, height = 3, places: number[] = []
  const columns = [[0, 8], [4, 8], [0, 4], [2, 4], [0, 2], [1, 2], [0, 1]],
    down = [[0, 8], [0, 8], [4, 8], [0, 4], [2, 4], [0, 2], [1, 2]]
  const raw: number[] = [], expected: number[] = []
  for (const [pass, [x0, dx]] of columns.entries()) {
    const [y0, dy] = down[pass]
    for (let y = y0; y < height; y += dy) {
      if (x0 >= width) continue
      raw.push(0)
      for (let x = x0; x < width; x += dx) {
        raw.push(y * width + x)
        expected.push(y * width + x)
      }
    }
  }
  await inflatedRows(
    [deflateSync(Uint8Array.from(raw))],
    { ...grey(width, height), interlaced: true },
    (line, count, at, gap) => {
      for (let i = 0; i < count; i++) {
        expect(line[i]).toBe(at + i * gap)
        places.push(at + i * gap)
      }
    },
  )
  expect(places).toEqual(expected)
  expect(places.toSorted((a, b) => a - b)).toEqual(Array.from({ length: width * height }, (_, i) => i))
})

// Windows of a map by plain loops; masks of shifted windows against Swin's own words: tokens that were no neighbours.
import { expect, test } from 'vitest'
import { tensor } from '../../src/index.ts'
import { fromWindows, relativeIndex, shiftMask, toWindows } from '../../src/nn/windows.ts'
import { describeDevice } from '../support/device.ts'

describeDevice('windows', () => {
  test('hold the tokens of their square, row by row, and go back to the map', async () => {
    const [B, Y, X, C, w] = [2, 4, 6, 3, 2], values = Float32Array.from({ length: B * Y * X * C }, (_, i) => i)
    const x = tensor(values, [B, Y, X, C]), windows = toWindows(x, w), found = await windows.data()
    expect(windows.shape).toEqual([B * 6, 4, C])
    let at = 0
    for (let b = 0; b < B; b++) {
      for (let wy = 0; wy < Y / w; wy++) {
        for (let wx = 0; wx < X / w; wx++) {
          for (let y = 0; y < w; y++) {
            for (let column = 0; column < w; column++) {
              for (let c = 0; c < C; c++) {
                expect(found[at++]).toBe(((b * Y + wy * w + y) * X + wx * w + column) * C + c)
              }
            }
          }
        }
      }
    }
    expect([...await fromWindows(windows, w, Y, X).data()]).toEqual([...values])
  })
})

test('pairs of tokens at one distance share a row of the table, others do not', () => {
  const w = 3, index = relativeIndex(w), rows = new Map<number, string>()
  for (let query = 0; query < 9; query++) {
    for (let key = 0; key < 9; key++) {
      const distance = `${Math.floor(query / w) - Math.floor(key / w)} ${query % w - key % w}`,
        row = index[query * 9 + key]
      expect(rows.get(row) ?? distance).toBe(distance)
      rows.set(row, distance)
    }
  }
  expect(rows.size).toBe(25)
  expect(index[0]).toBe(12)
})

test('the mask parts what the roll brought together', () => {
  const size = 4, w = 2, shift = 1, mask = shiftMask(size, size, w, [shift, shift])
  // after a roll by -1, row r of the map is row (r + 1) % 4 of before
  const before = (at: number) => (at + shift) % size
  for (let window = 0; window < 4; window++) {
    for (let query = 0; query < 4; query++) {
      for (let key = 0; key < 4; key++) {
        const place = (token: number) =>
          [Math.floor(window / 2) * w + Math.floor(token / w), window % 2 * w + token % w].map(before)
        const [a, b] = [place(query), place(key)]
        const neighbours = a.every((at, axis) => Math.abs(at - b[axis]) < w)
        expect(mask[(window * 4 + query) * 4 + key]).toBe(neighbours ? 0 : -100)
      }
    }
  }
})

test('without a shift along an axis nothing is parted along it', () => {
  expect(new Set(shiftMask(4, 4, 2, [0, 0]))).toEqual(new Set([0]))
})

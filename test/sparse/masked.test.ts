import { expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { record, unrecorded } from '../../src/core/tape.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { tileMaskedLinear } from '../../src/sparse/masked.ts'
import type { Tile } from '../../src/sparse/tiles.ts'
import { checkOp, checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import * as reference from '../reference/matmul.ts'
import { generator, nd, type Nd, random } from '../reference/nd.ts'

/** A mask of which a share of the tiles keep half of their entries; the first row of tiles keeps none. */
function maskOf([rows, columns]: readonly [number, number], [height, width]: Tile, share: number): Nd {
  const next = generator(7), across = Math.ceil(columns / width)
  const used = Array.from({ length: Math.ceil(rows / height) * across }, (_, i) => i >= across && next() < share)
  if (share > 0 && !used.includes(true)) used[used.length - 1] = true // one in a hundred is one
  return nd(
    [rows, columns],
    Array.from({ length: rows * columns }, (_, i) => {
      const row = Math.floor(i / columns), column = i % columns
      if (!used[Math.floor(row / height) * across + Math.floor(column / width)]) return 0
      return next() < 0.5 ? 0 : Math.fround(next() + 0.5)
    }),
  )
}

describeDevice('tile-masked linear', (adapter) => {
  const cases: [number, [number, number], Tile][] = adapter === 'cpu'
    ? [[37, [96, 64], [32, 32]], [5, [50, 41], [16, 16]], [9, [30, 44], [8, 4]], [3, [12, 20], [4, 12]]]
    : [[5, [48, 40], [16, 16]]]
  for (const [M, shape, tile] of cases) {
    test.each(adapter === 'cpu' ? [0, 0.01, 0.5, 1] : [0.01, 0.5])(
      `[${M}] by [${shape}] in tiles of [${tile}], %d of them occupied`,
      { timeout: 240_000 },
      async (share) => {
        const mask = maskOf(shape, tile, share), [height, width] = tile, across = Math.ceil(shape[1] / width)
        const tileAt = (i: number) =>
          Math.floor(Math.floor(i / shape[1]) / height) * across + Math.floor(i % shape[1] / width)
        const used = new Set([...mask.data.keys()].filter((i) => mask.data[i] !== 0).map(tileAt))
        const seen = (m: Nd) => m.data.map((value, i) => used.has(tileAt(i)) ? value : 0)
        await checkOp({
          call: (x, w, m, b) => tileMaskedLinear(x, w, m, b, { tile }),
          reference: (x, w, m, b) => {
            const kept = seen(m)
            return reference.linear(x, nd(w.shape, w.data.map((value, i) => value * kept[i])), b)
          },
          args: [random(1, [M, shape[1]]), random(2, shape), mask, random(3, [shape[0]])],
          samples: 30,
        })
      },
    )
  }

  test('inputs of several axes, no bias', { timeout: 240_000 }, async () => {
    await checkOp({
      call: (x, w, m) => tileMaskedLinear(x, w, m, null, { over: 2, tile: [8, 8] }),
      reference: (x, w, m) =>
        reference.linear(x, nd(w.shape, w.data.map((value, i) => value * m.data[i])), null, { over: 2 }),
      args: [random(1, [2, 3, 2, 8]), random(2, [16, 2, 8]), random(4, [16, 2, 8])],
      samples: 20,
    })
  })

  // What is multiplied by zero is zero only if it is finite: what nothing reads may be anything.
  test('empty tiles are read on none of the three ways', { timeout: 240_000 }, async () => {
    const tile: Tile = [16, 16], shape = [48, 40] as const, count = shape[0] * shape[1]
    const mask = nd([...shape], Array.from({ length: count }, (_, i) => Number(i < 16 * 40 && i % 40 < 16)))
    const weight = random(2, [...shape]), x = random(1, [5, 40]), dy = random(3, [5, 48])
    const spoiled = weight.data.map((value, i) => mask.data[i] ? value : NaN)
    const odd = nd(x.shape, x.data.map((value, i) => i % 40 < 16 ? value : NaN))
    const run = (weight: Nd, x: Nd) =>
      vjp((x, w, m) => tileMaskedLinear(x, w, m, null, { tile }), toTensor(x), toTensor(weight), toTensor(mask))
    const data = (all: readonly (Tensor | null)[]) => Promise.all(all.map(async (one) => [...await one!.data()]))
    const clean = run(weight, x), found = run(nd(weight.shape, spoiled), odd)
    expect(await data(found.outputs)).toEqual(await data(clean.outputs))
    // Gradients of outputs that no tile makes.
    const wild = nd(dy.shape, dy.data.map((value, i) => i % 48 < 16 ? value : NaN))
    const wanted = await data(clean.back(toTensor(dy))), got = await data(found.back(toTensor(wild)))
    expect(got).toEqual(wanted)
    expect(got[1].filter((value) => value !== 0).length).toBe(256)
    clean.free()
    found.free()
  })

  test('no races', () => {
    const x = toTensor(random(1, [5, 24])), w = toTensor(random(2, [24, 24]))
    const mask = toTensor(maskOf([24, 24], [8, 8], 0.5))
    const { calls } = record(() => tileMaskedLinear(x, w, mask, null, { tile: [8, 8] }), [x, w, mask])
    checkRaces(() => {
      tileMaskedLinear(x, w, mask, null, { tile: [8, 8] })
      unrecorded(() => {
        calls[0].op.vjp(calls[0], toTensor(random(3, [5, 24])))
      })
    })
  })

  test('says what does not fit', () => {
    const make = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)
    expect(() => tileMaskedLinear(make(2, 8), make(4, 8), make(4, 7), null)).toThrow(ShapeError)
    expect(() => tileMaskedLinear(make(2, 7), make(4, 8), make(4, 8), null)).toThrow('expected x to end in [8]')
    expect(() => tileMaskedLinear(make(2, 8), make(4, 8), make(4, 8), null, { tile: [6, 8] })).toThrow('multiples of 4')
  })
})

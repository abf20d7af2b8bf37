// Weights in a network for other images: position tables resampled as written in the formula, everything else copied.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Architecture, buildModel, inputOf } from '../../models/registry.ts'
import { modelOf, parseCheckpoint, saveCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { resampleGrid, takeOver } from '../../src/checkpoint/take-over.ts'
import { evalCommand } from '../../src/commands/eval.ts'
import { train } from '../../src/commands/train.ts'
import { describedLeaves, disposeTree, leaves } from '../../src/core/tree.ts'
import { close, init } from '../../src/gpu/device.ts'
import { initialize } from '../../src/nn/init.ts'
import type { Model } from '../../src/nn/model.ts'
import { describeDevice } from '../support/device.ts'
import { digits, run, scratch } from '../support/model.ts'
import { generator, random } from '../reference/nd.ts'

const dir = scratch()

/** Keys' cubic with a = -0.5. */
function cubic(x: number): number {
  const d = Math.abs(x), a = -0.5
  if (d < 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
  return d < 2 ? a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a : 0
}

/**
 * One value of the new grid: the sum over the whole old grid of a filter as wide as two new places (or old ones, where
 * there are fewer of them), divided by what falls on the grid. All in double precision.
 */
function reference(grid: ArrayLike<number>, from: number, to: number, y: number, x: number): number {
  const step = Math.max(1, from / to)
  const weights = (at: number) => {
    const centre = (at + 0.5) * from / to
    return Array.from({ length: from }, (_, i) => cubic((i + 0.5 - centre) / step))
  }
  const [down, across] = [weights(y), weights(x)], total = (list: number[]) => list.reduce((a, b) => a + b)
  let sum = 0
  for (let i = 0; i < from; i++) for (let j = 0; j < from; j++) sum += down[i] * across[j] * grid[i * from + j]
  return sum / total(down) / total(across)
}

describe('a grid is resampled', () => {
  test.each([[14, 6], [6, 14], [13, 5], [24, 7], [3, 8], [5, 1], [1, 3], [6, 6]])('%i to %i', (from, to) => {
    const front = 2, width = 3
    const table = Float32Array.from(random(from * to, [front + from * from, width]).data)
    const out = resampleGrid(table, { front, from, to, width })
    expect(out).toHaveLength((front + to * to) * width)
    expect([...out.subarray(0, front * width)]).toEqual([...table.subarray(0, front * width)])
    for (let channel = 0; channel < width; channel++) {
      const grid = Array.from({ length: from * from }, (_, place) => table[(front + place) * width + channel])
      for (let place = 0; place < to * to; place++) {
        expect(out[(front + place) * width + channel], `place ${place}`).toBeCloseTo(
          reference(grid, from, to, Math.floor(place / to), place % to),
          6,
        )
      }
    }
  })
})

/** A network with random values everywhere, written to a file and read again. */
async function filed(architecture: Architecture, naming = 'espalier') {
  const model: Model = initialize(buildModel(architecture), 3, { std: 0.5 }), next = generator(9)
  for (const [, leaf, { saved }] of describedLeaves(model)) {
    if (saved === undefined) leaf.write(Float32Array.from({ length: leaf.size }, () => next() - 0.5))
  }
  const path = join(dir, `${architecture.type}.safetensors`)
  const [, , side] = inputOf(architecture)
  const preprocessing = {
    resize: Math.round(side / 0.875),
    crop: side,
    interpolation: 'bicubic',
    mean: [0.5],
    std: [0.5],
    channels: 1,
    cropRounding: 'floor',
  } as const
  await saveCheckpoint(path, model, { architecture, preprocessing, naming, metadata: {}, others: new Map() })
  disposeTree(model)
  return { path, checked: await parseCheckpoint(readFileSync(path), path) }
}

const deit: Architecture = {
  type: 'vit',
  image: 56,
  patch: 4,
  channels: 1,
  width: 12,
  depth: 1,
  heads: 3,
  hidden: 8,
  classes: 10,
  distilled: true,
}

describeDevice('a checkpoint in a network for other images', () => {
  test.each<[Architecture, { image: number, classes?: number }, Record<string, string>, number]>([
    [deit, { image: 24, classes: 3 }, { positions: '14 6' }, 4],
    [deit, { image: 56 }, {}, 0],
    [{ ...deit, type: 'flatten-deit-tiny', distilled: false }, { image: 24 }, {
      'positions': '14 6',
      'blocks.0.attention.positions': '14 6',
    }, 0],
    [
      {
        type: 'swin',
        image: 32,
        patch: 2,
        channels: 1,
        width: 8,
        depths: [2, 2],
        heads: [2, 4],
        windows: [16, 7],
        kinds: 'LS',
        classes: 10,
      },
      { image: 12 },
      {
        'stages.0.blocks.0.attention.positions': '16 6',
        'stages.0.blocks.1.attention.positions': '16 6',
        'stages.1.blocks.0.attention.table': '13 5',
        'stages.1.blocks.1.attention.table': '13 5',
      },
      0,
    ],
  ])('%j', async (architecture, change, tables, fresh) => {
    const { checked } = await filed(architecture, architecture.type === 'vit' ? 'timm-vit' : 'espalier')
    const old = modelOf(checked), model = initialize(buildModel({ ...checked.architecture, ...change }), 4)
    const taken = await takeOver(checked, model), before = new Map(leaves(old))
    expect(Object.fromEntries(taken.resampled.map(({ path, from, to }) => [path, `${from} ${to}`]))).toEqual(tables)
    expect(taken.fresh).toHaveLength(fresh)
    for (const [path, leaf, { saved }] of describedLeaves(model)) {
      const was = before.get(path)
      if (saved === false || taken.fresh.includes(path) || !was) continue
      if (!(path in tables)) expect([...await leaf.data()], path).toEqual([...await was.data()])
      else if (path === 'positions') {
        const tokens = architecture.distilled ? 2 * 12 : 0
        expect([...(await leaf.data()).slice(0, tokens)]).toEqual([...(await was.data()).slice(0, tokens)])
      }
    }
    disposeTree([old, model])
  })
})

test('train --image: pictures come to the new size, what is saved says so, and what cannot be is refused', async () => {
  await init({ adapter: 'cpu', fixedVariants: true })
  const { path } = await filed(deit).finally(close), out = join(dir, 'tuned.safetensors'), said: string[] = []
  const args = [path, '--data', digits(0, 3), '--epochs', '1', '--batch', '4', '--adapter', 'cpu']
  await run(train, [...args, '--image', '24', '--out', out], said)
  expect(said.join('\n')).toContain('images of 24 instead of 56, so these are resampled: positions (14 x 14 to 6 x 6)')
  const { architecture, preprocessing } = await parseCheckpoint(readFileSync(out), out)
  expect(architecture.image).toBe(24)
  expect(preprocessing).toMatchObject({ resize: 24, crop: 24 })
  expect((await run(evalCommand, [out, '--data', digits(20, 23), '--adapter', 'cpu'])).json)
    .toMatchObject({ images: 4 })
  await expect(run(train, ['resnet20', '--data', digits(0, 9), '--image', '24', '--out', join(dir, 'no')])).rejects
    .toThrow(/--image 24: a resnet20 has no position tables/)
}, 240_000)

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decode } from 'fast-png'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildModel } from '../../models/registry.ts'
import type { Flow } from '../../src/attribution/conservation.ts'
import { attributionMethodOf } from '../../src/attribution/methods.ts'
import { explain } from '../../src/commands/explain.ts'
import { Explainer, type Found } from '../../src/commands/explainer.ts'
import { InputError } from '../../src/base/errors.ts'
import { close, gpu, init, initialize } from '../../src/index.ts'
import { saveCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { Canvas } from '../../src/report/canvas.ts'
import { defaultPreprocessing } from '../../src/data/preprocess.ts'
import { run, scratch } from '../support/model.ts'

const dir = scratch()
const model = join(dir, 'vit.safetensors')
const nameless = join(dir, 'nameless.safetensors')
const images = ['one', 'two', 'three'].map((name) => join(dir, `${name}.png`))

const architecture = { type: 'vit-compact', depth: 1, width: 24, hidden: 32, patch: 8 }

beforeAll(async () => {
  await init()
  const made = initialize(buildModel(architecture, 'test'), 3)
  const names = Array.from({ length: 10 }, (_, i) => `kind ${i}, number ${i}`)
  const preprocessing = defaultPreprocessing('transformer', 32)
  const facts = { architecture, preprocessing, naming: 'espalier' as const, metadata: {}, others: new Map() }
  await saveCheckpoint(model, made, { ...facts, classes: names })
  await saveCheckpoint(nameless, made, { ...facts, classes: undefined })
  await close()
  images.forEach((file, i) => {
    const canvas = new Canvas(32, 32)
    canvas.fill(4 + 6 * i, 8, 12, 14, [200, 60 * i, 30])
    writeFileSync(file, canvas.png())
  })
})

interface Result {
  images: Found[]
  explanations: { composite: string, input: number, layers: Flow[], units?: Record<string, number[]> }[]
  files: string[]
}

describe('explain', () => {
  test('a contact sheet, and sums per layer that add up', async () => {
    const out = join(dir, 'sheet.png'), pair = images.slice(0, 2)
    const { json, text } = await run(explain, [
      model,
      '--image',
      ...pair,
      '--composite',
      'attn-lrp,cp-lrp',
      'pxp:epsilon,gamma,z-plus,epsilon,z-plus',
      '--class',
      '3',
      'number 4',
      '--batch',
      '1',
      '--units',
      '--conservation',
      '--json',
      '--out',
      out,
    ])
    const result = json as unknown as Result
    expect(result.files).toEqual([out])
    const { width, height } = decode(readFileSync(out))
    expect([width, height].every((side) => side > 600)).toBe(true)
    expect(result.images.map(({ explained }) => explained.map((each) => each.class))).toEqual(
      pair.map(() => [3, 3, 3, 4, 4, 4]),
    )
    for (const { best, explained } of result.images) {
      // full colour stands for the strongest pixels: more than the mean, less than all of them together
      for (const { input, scale } of explained) expect(scale).toBeGreaterThan(Math.abs(input) / (32 * 32))
      expect(best.reduce((sum, { probability }) => sum + probability, 0)).toBeLessThanOrEqual(1.000001)
    }
    expect(result.explanations.map(({ composite }) => composite)).toEqual([
      'attn-lrp',
      'cp-lrp',
      'pxp:epsilon,gamma,z-plus,epsilon,z-plus',
    ])
    for (const { input, layers, units } of result.explanations) {
      expect(input + layers.reduce((sum, { absorbed, rest }) => sum + absorbed + rest, 0)).toBeCloseTo(1, 3)
      expect(units!['blocks.0.mlp.hidden']).toHaveLength(32)
      expect(units!['blocks.0.attention.heads']).toHaveLength(3)
    }
    expect(text).toContain('kind 3, number 3')
    expect(text).toMatch(/% {2}kind (\d), number \1 \(\1\)/)
    for (const [i, { input, layers }] of result.explanations.entries()) {
      const [list, rows] = text.split(/^(?=\S*: relevance \S* at the logits)/m)[i + 1].split(/^(?=layer )/m)
      const [head, ...cells] = rows.split(/\n\n/)[0].trim().split('\n').map((line) => line.split(/ {2,}/))
      const [softmax, elsewhere] = ['softmax', 'elsewhere'].map((column) => head.indexOf(column))
      for (const [j, row] of cells.entries()) {
        const kept = layers[j].op === 'attention' ? layers[j].rest : 0
        expect([row[softmax], row[elsewhere]].map(Number)).toEqual([
          expect.closeTo(kept, 3.9),
          expect.closeTo(kept ? 0 : layers[j].rest, 3.9),
        ])
      }
      // A layer that hands on all it gets is a row like the others.
      expect(cells.map((row) => row.slice(0, 2))).toEqual(layers.map(({ layer, op }) => [layer, op]))
      expect(layers.some(({ absorbed, rest }) => Math.abs(absorbed) + Math.abs(rest) < 1e-6)).toBe(true)
      for (
        const [column, words] of [
          ['biases, constants', 'in biases and constants'],
          ['softmax', 'in the softmax of attention'],
          ['elsewhere', 'elsewhere'],
        ]
      ) {
        const at = head.indexOf(column), total = cells.reduce((sum, row) => sum + Number(row[at]), 0)
        const said = Number(new RegExp(`^ +(-?[\\d.]+)  ${words}`, 'm').exec(list)![1])
        expect(Math.abs(said - total), `${column} ${said}`).toBeLessThan(1e-4 * cells.length)
      }
      expect(Number(/^ +(-?[\d.]+) {2}at the input/m.exec(list)![1])).toBeCloseTo(input, 3)
    }
    const softmax = result.explanations[0].layers.filter(({ op }) => op === 'attention')
    expect(Math.abs(softmax.reduce((sum, { rest }) => sum + rest, 0))).toBeGreaterThan(1e-5)
  }, 120_000)

  test('pictures of a data set go by their files, and classes without names by their number alone', async () => {
    const list = join(dir, 'list.json')
    const folder = join(dir, 'list')
    const out = join(dir, 'of-a-list')
    mkdirSync(folder)
    const rows = images.map((_, i) => ({ file: `photo ${i}.png`, label: i }))
    rows.forEach(({ file }, i) => {
      copyFileSync(images[i], join(folder, file))
    })
    writeFileSync(list, JSON.stringify(rows))
    const { json, text } = await run(explain, [nameless, '--data', `images:${list}#1-2`, '--out', out])
    expect((json as unknown as Result).images.map(({ file }) => file)).toEqual(
      rows.slice(1).map(({ file }) => `${folder}/${file}`),
    )
    expect(text).toContain(`${folder}/photo 2.png\n`)
    expect(readdirSync(out).sort()).toEqual(['1-photo 1.png', '2-photo 2.png'])
    expect(text).toMatch(/% {2}class \d$/m)
    expect(text).not.toMatch(/\(\d\)/)
  }, 120_000)

  test('a folder gets a picture per image; the best class is the default', async () => {
    const out = join(dir, 'pictures')
    const composites = ['gradient-x-input', 'integrated-gradients', 'attention-rollout']
    const { json } = await run(explain, [model, '--image', ...images, '--composite', ...composites, '--out', out])
    expect(readdirSync(out).sort()).toEqual(['1-one.png', '2-two.png', '3-three.png'])
    for (const { best, explained } of (json as unknown as Result).images) {
      expect(explained.every((each) => each.class === best[0].class)).toBe(true)
    }
    const pixels = new Set(decode(readFileSync(join(out, '1-one.png'))).data)
    expect(pixels.size).toBeGreaterThan(50)
  })

  test('memory of the device does not grow with the number of images', async () => {
    await init({ fixedVariants: true }) // timing variants holds buffers of its own
    const names = ['attn-lrp-gamma', 'integrated-gradients'], made = initialize(buildModel(architecture, 'test'), 3)
    const explainer = new Explainer({
      model: made,
      classes: 10,
      names: null,
      methods: new Map(names.map((name) => [name, attributionMethodOf(name)])),
      preprocessing: defaultPreprocessing('transformer', 32),
      flows: true,
      units: true,
    })
    const used: string[] = []
    for (let batch = 0; batch < 6; batch++) {
      const values = Float32Array.from({ length: 2 * 3 * 32 * 32 }, (_, i) => Math.sin(i * (batch + 1)))
      await explainer.explain({ values, shape: [2, 3, 32, 32], names: ['first', 'second'] }, undefined)
      const { live, peak } = gpu().pool.memory
      used.push(`${live} ${peak}`)
    }
    expect(explainer.found).toHaveLength(12)
    expect(new Set(used.slice(1)).size, used.join()).toBe(1)
    await close()
  })

  test('bad input is refused in one sentence', async () => {
    await expect(run(explain, [model])).rejects.toThrow(/expected --image <file> or --data <data>, found neither/)
    await expect(run(explain, [model, '--image', join(dir, 'none.png')])).rejects.toThrow(InputError)
    await expect(run(explain, [model, '--image', images[0], '--composite', 'lime'])).rejects.toThrow(
      /'lime': expected epsilon/,
    )
    await expect(run(explain, [model, '--image', images[0], '--class', '10'])).rejects.toThrow(/0 to 9/)
    await expect(run(explain, [model, '--image', images[0], '--class', 'zebra'])).rejects.toThrow(
      /no class of that name/,
    )
    const nowhere = join(dir, 'no', 'such', 'sheet.png')
    await expect(run(explain, [model, '--image', images[0], '--out', nowhere])).rejects.toThrow(
      /there is no such folder/,
    )
    expect(existsSync(join(dir, 'no'))).toBe(false)
  })
})

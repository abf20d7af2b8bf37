// Pixel-flipping of a network over a data set: `node dist/bench/flipping.js <model> <data> [out folder] [adapter]`.
// Writes flipping.json with every image's curves (an interrupted run goes on from there) and flipping.svg with the mean
// curves; prints areas and paired bootstrap intervals against random order.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { attributionMethodOf } from '../src/attribution/methods.ts'
import { areaUnder, flippingCurve, pairedBootstrap, patchOrder } from '../src/attribution/flipping.ts'
import { oneHot } from '../src/attribution/relevance.ts'
import { close, init } from '../src/gpu/device.ts'
import { loadCheckpoint } from '../src/checkpoint/checkpoint.ts'
import { openDataset } from '../src/data/datasets.ts'
import { percent } from '../src/report/format.ts'
import { heatmapOf } from '../src/report/heatmap.ts'
import { plotFile } from '../src/report/plot.ts'
import { writeOutput } from '../src/files/output.ts'
import { foldBatchNorm } from '../src/nn/fold.ts'
import { permutation, random } from '../src/base/random.ts'
import { tensor } from '../src/core/tensor.ts'
import { inference } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'

const methods = ['attn-lrp', 'attn-lrp-gamma', 'cp-lrp', 'gradient-x-input'], baseline = 'random order'
const colours = ['#b2182b', '#e08214', '#2166ac', '#1b7837', '#555555']
const patch = 16, steps = 7, seed = 0

const [path, data, out = '.', adapter] = process.argv.slice(2)
if (!path || !data) {
  process.stderr.write(
    'flipping: expected <model> <data> [out folder] [adapter], e.g. deit_tiny.safetensors images:val300.json#0-29\n',
  )
  process.exit(2)
}
const gpu = await init({ adapter })
try {
  const checkpoint = await loadCheckpoint(path)
  const set = await openDataset(data, { preprocessing: checkpoint.preprocessing, classes: checkpoint.classCount })
  const shape = await set.inputShape()
  const model = foldBatchNorm(checkpoint.model, [1, ...shape])
  const names = [...methods, baseline]
  const file = join(out, 'flipping.json'), about = { model: path, data, patch, steps, seed, adapter: gpu.adapter.name }
  const curves = earlier(file, about) ?? new Map(names.map((name) => [name, [] as number[][]]))
  const [, height, width] = shape, count = (height / patch) * (width / patch)
  let done = 0
  for await (const { images } of set.batches({ size: 1 })) {
    if (curves.get(baseline)!.length > done) { // measured before an interruption
      done++
      continue
    }
    const image = tensor(images, [1, ...shape])
    const logits = inference(() => model.call(image)), values = [...await logits.data()]
    const target = values.indexOf(Math.max(...values)) // what the network says, right or wrong
    const targets = oneHot([target], values.length)
    for (const name of methods) {
      const reading = attributionMethodOf(name, checkpoint.preprocessing)(model, image, targets)
      const heat = heatmapOf(await reading.input.data() as Float32Array, ...shape)
      disposeTree([reading.logits, reading.input])
      curves.get(name)!.push(
        await flippingCurve(model, images, shape, target, patchOrder(heat.values, height, width, patch), {
          patch,
          steps,
        }),
      )
    }
    const shuffled = [...permutation(count, seed, `flipping ${done}`)]
    curves.get(baseline)!.push(await flippingCurve(model, images, shape, target, shuffled, { patch, steps }))
    disposeTree([image, logits, targets])
    done++
    writeOutput(file, `${JSON.stringify({ ...about, curves: Object.fromEntries(curves) })}\n`)
    process.stderr.write(`\r${done} of ${set.length} images`)
  }
  process.stderr.write('\n')
  const areas = new Map([...curves].map(([name, list]) => [name, list.map(areaUnder)]))
  const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const results = names.map((name) => {
    const list = curves.get(name)!
    const area = areas.get(name)!
    const less = area.map((value, i) => value - areas.get(baseline)![i])
    return {
      name,
      area: average(area),
      againstRandom: name === baseline ? null : pairedBootstrap(less, random(seed, `bootstrap ${name}`)),
      curve: list[0].map((_, step) => average(list.map((curve) => curve[step]))),
    }
  })
  writeOutput(
    file,
    `${
      JSON.stringify({
        ...about,
        images: done,
        results,
        areas: Object.fromEntries(areas),
        curves: Object.fromEntries(curves),
      })
    }\n`,
  )
  const lines = results.map(({ name, curve }, i) => ({ name, curve, colour: colours[i] }))
  writeOutput(join(out, 'flipping.svg'), plot(lines, `mean colour, ${done} images, patches of ${patch} pixels`))
  for (const { name, area, againstRandom: less } of results) {
    const interval = less
      ? `   minus random ${less.mean.toFixed(3)}, 95 % interval ${less.low.toFixed(3)} to ${less.high.toFixed(3)}`
      : ''
    console.log(`${name.padEnd(20)} area ${area.toFixed(3)}${interval}`)
  }
} finally {
  await close()
}

/** The curves of a run that was interrupted, if it was the same. */
function earlier(file: string, about: object): Map<string, number[][]> | null {
  if (!existsSync(file)) return null
  const { curves, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown> & {
    curves: Record<string, number[][]>,
  }
  const same = Object.entries(about).every(([key, value]) => rest[key] === value)
  const shortest = Math.min(...Object.values(curves).map((list) => list.length))
  return same ? new Map(Object.entries(curves).map(([name, list]) => [name, list.slice(0, shortest)])) : null
}

/** Mean probability against the part of the image replaced, as a self-contained SVG. */
function plot(lines: { name: string, curve: number[], colour: string }[], caption: string): string {
  return plotFile('Probability of the class as its most relevant patches go', [{
    label: 'probability',
    x: { label: `part of the image replaced by the ${caption}`, tick: (part) => percent(part, 0), ends: [0, 1] },
    y: { label: 'probability', tick: String, ends: [0, 1] },
    series: lines.map(({ name, curve, colour }) => ({
      name,
      colour,
      draw: 'line',
      points: curve.map((y, step) => ({ x: step / (curve.length - 1), y, low: y, high: y, title: '' })),
    })),
  }])
}

// What sparsity patterns cost a real network and bring it: accuracy without training, processor time, and size of the
// file, by pattern, density, criterion and ranking. `node dist/bench/sparse-networks.js <model> <references> <test>
// <out.json> [patterns] [densities] [criteria] [rankings] [skip] [resize] [turns]`, lists with commas, data as for
// `eval`. The file, and a page of the same name that ends with .html, are written after every row. Accuracy is of all
// test images; processor time is the process's, one thread, of batches of eight, dense and sparse in turns (0 turns:
// none), so it tells little of other machines.
import { writeFileSync } from 'node:fs'
import { median } from '../src/base/turns.ts'
import { encodeCheckpoint, loadCheckpoint } from '../src/checkpoint/checkpoint.ts'
import { inference } from '../src/core/transform.ts'
import { tensor } from '../src/core/tensor.ts'
import { disposeTree } from '../src/core/tree.ts'
import { fillNormal } from '../src/base/random.ts'
import { openDataset } from '../src/data/datasets.ts'
import { cached, drawReferences } from '../src/data/subset.ts'
import { packageVersion } from '../src/files/package.ts'
import { close, init } from '../src/gpu/device.ts'
import { costOf } from '../src/nn/macs.ts'
import type { Model } from '../src/nn/model.ts'
import { criterionOf } from '../src/pruning/methods/index.ts'
import { chooseEntries, type EntryScores } from '../src/sparse/choose.ts'
import { patternOf } from '../src/sparse/registry.ts'
import { chooseSites, weightSites } from '../src/sparse/sites.ts'
import { hostEntries, packModel, sparseWeights } from '../src/sparse/sparsify.ts'
import { accuracyOf } from '../src/train/evaluate.ts'
import { machineFacts } from './machine.ts'
import { type SparseResult, type SparseRow, sparsePage } from './sparse-page.ts'

const [path, references, test, out, ...lists] = process.argv.slice(2)
if (!out) {
  process.stderr.write('sparse-networks: expected <model> <references> <test> <out.json>\n')
  process.exit(2)
}
const split = (text: string | undefined, usual: string) => (text ?? usual).split(',')
const patterns = split(lists[0], 'block:16x16,block:32x32'), densities = split(lists[1], '0.5,0.3').map(Number)
const criteria = split(lists[2], 'magnitude,pxp')
const rankings = split(lists[3], 'per-unit,global') as ('global' | 'per-unit')[]
const gpu = await init({ adapter: 'cpu', threads: 1 })
const checkpoint = await loadCheckpoint(path), { model, classCount } = checkpoint
const skip = lists[4] ? lists[4].split(',') : []
const preprocessing = lists[5] === 'none'
  ? { ...checkpoint.preprocessing, resize: null }
  : checkpoint.preprocessing
const open = async (spec: string) => {
  const set = await openDataset(spec, { preprocessing })
  return cached(set, drawReferences(set, { seed: 0 }))
}
const scored = await open(references), tested = await open(test), input = await tested.inputShape()
const images = tensor(fillNormal(new Float32Array(8 * input[0] * input[1] * input[2]), 0, 'latency'), [8, ...input])

const say = (line: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`)

/** Processor time of one forward pass over eight images, in milliseconds. */
async function processorTime(network: Model): Promise<number> {
  const before = process.cpuUsage(), logits = inference(() => network.call(images))
  await logits.data()
  logits.dispose()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Processor time as a share of the dense network's: the median of turns. */
async function share(network: Model): Promise<{ cpuMsPerImage?: number, cpuShare?: number }> {
  const turns = Number(lists[6] ?? 3)
  if (turns === 0) return {}
  const times: number[] = [], ratios: number[] = []
  for (let i = 0; i < 4; i++) await processorTime(network) // what compiles in the background is done then
  for (let turn = 0; turn < turns; turn++) {
    const dense = await processorTime(model), own = await processorTime(network)
    times.push(own / 8)
    ratios.push(own / dense)
  }
  return { cpuMsPerImage: median(times), cpuShare: median(ratios) }
}

async function measured(network: Model): Promise<SparseResult & { params: number, macs: number }> {
  const { top1, top5, loss, images: count } = await accuracyOf(network, tested, { batch: 8 })
  const { params, macs, keptMacs } = costOf(network, input)
  const { length: bytes } = await encodeCheckpoint(network, { ...checkpoint, naming: 'espalier' })
  return { top1, top5, loss, images: count, params, macs, keptMacs, bytes, ...await share(network) }
}

const rows: SparseRow[] = []
const about = {
  schema: 1,
  what: 'sparse-networks',
  command: ['node', 'dist/bench/sparse-networks.js', ...process.argv.slice(2)].join(' '),
  version: packageVersion(),
  adapter: gpu.adapter.name,
  machine: machineFacts(),
  skip,
  references: scored.length,
}
const write = (dense: SparseResult) => {
  const found = { ...about, dense, rows }
  writeFileSync(out, `${JSON.stringify(found, null, 1)}\n`)
  writeFileSync(`${out.replace(/\.json$/, '')}.html`, sparsePage(found))
}

const dense = await measured(model)
say(`dense: top-1 ${dense.top1}`)
write(dense)
const sites = chooseSites(weightSites(model, [1, ...input]), skip), values = await hostEntries(model, sites)
for (const name of patterns) {
  const pattern = patternOf(name)
  for (const method of criteria) {
    const start = performance.now()
    const scores: EntryScores = await criterionOf(method).weights!({
      model,
      sites,
      values,
      references: scored,
      classes: classCount,
      batch: 8,
      seed: 0,
      aggregation: 'mean-of-abs',
      tile: (shape) => pattern.tile(shape),
    })
    say(`${name} ${method}: scored in ${((performance.now() - start) / 1000).toFixed(0)} s`)
    for (const ranking of rankings) {
      for (const density of densities) {
        const keep = chooseEntries(sites, scores, pattern, { density, ranking })
        const sparse = packModel(model, [1, ...input], sites, pattern, keep, values)
        const kept = sparseWeights(sparse).reduce((sum, [, weight]) => sum + weight.kept, 0)
        const all = sites.reduce((sum, { matrix: [height, width] }) => sum + height * width, 0)
        const row = { pattern: name, method, ranking, density: kept / all, ...await measured(sparse) }
        rows.push(row)
        say(
          `${name} ${method} ${ranking} ${density}: top-1 ${row.top1.toFixed(4)}, time ${
            row.cpuShare?.toFixed(3) ?? 'not measured'
          }`,
        )
        write(dense)
        disposeTree(sparse)
      }
    }
  }
}
await close()

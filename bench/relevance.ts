// The cost of a relevance pass beside one training backward, both without their forward: `node dist/bench/relevance.js
// <model> [adapter] [batch] [rounds]`. They take turns; medians and ratios are printed.
import { compositeOf } from '../src/attribution/composites.ts'
import { rulesFor } from '../src/attribution/composite.ts'
import { Network } from '../src/attribution/network.ts'
import { oneHot, pathsOf } from '../src/attribution/relevance.ts'
import { close, init } from '../src/gpu/device.ts'
import { loadCheckpoint } from '../src/checkpoint/checkpoint.ts'
import { crossEntropy } from '../src/ops/cross-entropy.ts'
import { full } from '../src/core/fill.ts'
import { median } from '../src/base/turns.ts'
import { foldBatchNorm } from '../src/nn/fold.ts'
import { fillNormal } from '../src/base/random.ts'
import { type Call, pullback, record } from '../src/core/tape.ts'
import { tensor, type Tensor } from '../src/core/tensor.ts'
import { scope } from '../src/core/transform.ts'
import { disposeTree, parameters } from '../src/core/tree.ts'

const composites = [
  'attn-lrp',
  'cp-lrp',
  'pxp:gamma,gamma,gamma,gamma',
  'z-plus',
  'pxp:alpha2-beta1,alpha2-beta1,alpha2-beta1,alpha2-beta1',
]
const [path, adapter, batch = '4', rounds = '5'] = process.argv.slice(2)
if (!path) {
  process.stderr.write('relevance: expected <model> [adapter] [batch] [rounds]\n')
  process.exit(2)
}
const gpu = await init({ adapter })
const { model: loaded, classCount, preprocessing: { crop, channels } } = await loadCheckpoint(path)
const shape = [Number(batch), channels, crop ?? 32, crop ?? 32]
const model = foldBatchNorm(loaded, shape)
const images = tensor(fillNormal(new Float32Array(shape.reduce((a, b) => a * b, 1)), 0, 'images'), shape)
const classes = Int32Array.from({ length: shape[0] }, (_, i) => i % classCount)
const labels = tensor(classes), targets = oneHot(classes, classCount)
const weights = parameters(model).map(([, leaf]) => leaf)

/**
 * Milliseconds of a walk back over a fresh tape, from when the forward is done until the device has nothing left to do.
 */
async function walk(
  forward: () => Tensor,
  tracked: Tensor[],
  seed: (out: Tensor) => Tensor,
  rules?: (calls: readonly Call[]) => ReturnType<typeof rulesFor>,
) {
  const { result, calls } = scope(() => record(forward, tracked))
  await result.data()
  const start = performance.now()
  const options = { wanted: tracked, ruleFor: rules?.(calls), releaseExcept: new Set([result]) }
  const found = scope(() => [...pullback(calls, [[result, seed(result)]], options).values()])
  await found.at(-1)!.view([found.at(-1)!.size]).data()
  const time = performance.now() - start
  disposeTree([found, result])
  for (const call of calls) disposeTree([call.out, ...Object.values(call.saved)])
  return time
}

const subjects = new Map<string, () => Promise<number>>([
  ['training backward', () => walk(() => crossEntropy(model.call(images), labels), weights, () => full([], 1))],
  ...composites.map((
    name,
  ): [string, () => Promise<number>] => [
    name,
    () =>
      walk(
        () => model.call(images),
        [images],
        () => targets,
        (calls) => rulesFor(compositeOf(name), new Network(calls, [images], pathsOf(model).leaves)),
      ),
  ]),
])
const times = new Map([...subjects.keys()].map((name) => [name, [] as number[]]))
for (let round = -1; round < Number(rounds); round++) {
  for (const [name, run] of subjects) {
    const time = await run()
    if (round >= 0) times.get(name)!.push(time) // the first round warms up
  }
}
const base = median(times.get('training backward')!)
console.log(`${gpu.adapter.name}, batch ${batch}, ${rounds} rounds`)
for (const [name, list] of times) {
  console.log(
    `${name.padEnd(60)} ${median(list).toFixed(0).padStart(7)} ms   ${
      (median(list) / base).toFixed(2)
    } of a training backward`,
  )
}
await close()

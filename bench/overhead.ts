// What a launch costs the host, and what capturing a step saves.
import { readFileSync } from 'node:fs'
import { compile } from '../src/core/compile.ts'
import { NumericError } from '../src/base/errors.ts'
import { gpu } from '../src/gpu/device.ts'
import { add, relu, square } from '../src/ops/elementwise.ts'
import { linear } from '../src/ops/matmul/linear.ts'
import { mean } from '../src/ops/reduce.ts'
import { adamW } from '../src/train/optim.ts'
import { fillNormal } from '../src/base/random.ts'
import { type Tensor, tensor } from '../src/core/tensor.ts'
import { scope, valueAndGrad } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'
import { quantile } from '../src/base/turns.ts'
import type { OnProgress } from '../src/pruning/progress.ts'
import { type MeasureOptions, type Row } from './harness.ts'
import { meter } from './meter.ts'

/**
 * Rows: CPU time of the host per launch when launches are batched, and a training step of tiny tensors eager and
 * captured.
 */
export async function overheadRows({ rounds = 15, onProgress }: MeasureOptions = {}): Promise<Row[]> {
  const count = meter('bench overhead', 2, rounds, onProgress)
  return [
    await eagerLaunches(rounds, count.begin(0, 'launch')),
    ...await trainingStep(rounds, count.begin(1, 'training step')),
  ]
}

async function eagerLaunches(rounds: number, onProgress: OnProgress): Promise<Row> {
  const count = 1000, { launches, device } = gpu()
  const x = tensor(new Float32Array(64)), y = tensor(new Float32Array(64).fill(1))
  const perLaunch: number[] = []
  let sum = NaN
  for (let round = 0; round < rounds + 10; round++) {
    launches.flush()
    await device.queue.onSubmittedWorkDone()
    const start = hostCpu()
    const last = scope(() => {
      let value = x
      for (let i = 0; i < count; i++) value = add(value, y)
      return value
    })
    launches.flush()
    if (round >= 10) perLaunch.push((hostCpu() - start) / count)
    sum = (await last.data())[0]
    last.dispose()
    onProgress('launch', round + 1, rounds + 10)
  }
  if (sum !== count) throw new NumericError(`overhead: ${count} additions of 1 gave ${sum}`)
  x.dispose()
  y.dispose()
  return row('launch', `launches=${count}`, 'eager', perLaunch, 'CPU of the host per launch, batched')
}

interface Layer {
  weight: Tensor
  bias: Tensor
}

async function trainingStep(rounds: number, onProgress?: OnProgress): Promise<Row[]> {
  const width = 8, depth = 30, times: Record<'eager' | 'captured', number[]> = { eager: [], captured: [] }
  const { launches } = gpu()
  const x = tensor(fillNormal(new Float32Array(4 * width), 1, 'x'), [4, width])
  const make = () => {
    const model = {
      layers: Array.from({ length: depth }, (_, i): Layer => ({
        weight: tensor(fillNormal(new Float32Array(width * width), 1, `weight ${i}`, 0.2), [width, width]),
        bias: tensor(new Float32Array(width)),
      })),
    }
    const optimizer = adamW(model, { rate: 1e-3 })
    const loss = ({ layers }: typeof model, x: Tensor) =>
      mean(square(layers.reduce((h, { weight, bias }) => add(h, relu(linear(h, weight, bias))), x)))
    const step = (x: Tensor) => {
      const [value, grads] = valueAndGrad(loss)(model, x)
      optimizer.update(model, grads)
      disposeTree(grads)
      return value
    }
    return { model, optimizer, step }
  }
  const [eager, captured] = [make(), make()]
  const replay = compile(captured.step)
  let perStep = 0
  for (let round = 0; round < rounds + 5; round++) {
    const results: number[] = []
    for (const impl of ['eager', 'captured'] as const) {
      const before = launches.counts.launches, start = performance.now()
      const value = impl === 'eager' ? scope(() => eager.step(x)) : replay(x)
      if (impl === 'eager') perStep = launches.counts.launches - before // later the tuner may launch as well
      results.push(await value.item())
      if (round >= 5) times[impl].push(performance.now() - start)
      value.dispose()
    }
    if (Math.abs(results[0] - results[1]) > 1e-6 * Math.abs(results[0])) {
      throw new NumericError(
        `overhead: step ${round} gave a loss of ${results[0]} eager and ${results[1]} captured; they must agree`,
      )
    }
    onProgress?.('training step', round + 1, rounds + 5)
  }
  replay.clear()
  for (const { model, optimizer } of [eager, captured]) {
    optimizer.dispose()
    disposeTree(model)
  }
  x.dispose()
  const shape = `launches=${perStep}`,
    ratio = (q: number) => (quantile(times.eager, q) / quantile(times.captured, q)).toFixed(2)
  return [
    row('training step', shape, 'eager', times.eager, ''),
    row(
      'training step',
      shape,
      'captured',
      times.captured,
      `${ratio(0.5)} times as fast as eager (fastest tenth: ${ratio(0.1)})`,
    ),
  ]
}

/** Milliseconds this thread has spent on a CPU, where the system says so (Linux), else the clock. */
function hostCpu(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6
  } catch {
    return performance.now()
  }
}

function row(name: string, shape: string, impl: string, times: readonly number[], note: string): Row {
  const msMedian = quantile(times, 0.5)
  return {
    suite: 'overhead',
    name,
    shape,
    impl,
    msMedian,
    msMad: quantile(times.map((ms) => Math.abs(ms - msMedian)), 0.5),
    runs: times.length,
    gflops: null,
    gbps: null,
    maxRelError: null,
    note,
    msP10: quantile(times, 0.1),
    msDevice: null,
  }
}

// The other kernels of a ViT-Tiny and a small ResNet at batch 8, each against a result in doubles; no peers.
import { deviceTime } from '../../src/gpu/timing.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { add, gelu } from '../../src/ops/elementwise.ts'
import { layerNorm } from '../../src/ops/layernorm.ts'
import { sum } from '../../src/ops/reduce.ts'
import { softmax } from '../../src/ops/softmax.ts'
import { fillNormal } from '../../src/base/random.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import type { BenchCase, CaseMaker } from '../harness.ts'

interface Layer {
  name: string
  shape: string
  inputs: readonly (readonly number[])[]
  run(...inputs: Tensor[]): Tensor
  expected(...inputs: Float32Array[]): Float64Array
  flops: number
}

const tokens = 8 * 197, width = 192

const layers: Layer[] = [
  {
    name: 'layernorm',
    shape: `rows=${tokens} width=${width}`,
    inputs: [[tokens, width], [width], [width]],
    flops: 8 * tokens * width,
    run: (x, gain, bias) => layerNorm(x, gain, bias, { eps: 1e-6 }),
    expected: (x, gain, bias) =>
      byRow(x, width, (row) => {
        const mean = total(row) / width, rstd = 1 / Math.sqrt(total(row.map((v) => (v - mean) ** 2)) / width + 1e-6)
        return row.map((v, i) => (v - mean) * rstd * gain[i] + bias[i])
      }),
  },
  {
    name: 'softmax',
    shape: 'rows=4728 width=197',
    inputs: [[4728, 197]],
    flops: 5 * 4728 * 197,
    run: (x) => softmax(x),
    expected: (x) =>
      byRow(x, 197, (row) => {
        const most = Math.max(...row)
        const shares = row.map((v) => Math.exp(v - most))
        const all = total(shares)
        return shares.map((v) => v / all)
      }),
  },
  {
    name: 'add',
    shape: `size=${tokens * width}`,
    inputs: [[tokens, width], [tokens, width]],
    flops: tokens * width,
    run: (x, y) => add(x, y),
    expected: (x, y) => Float64Array.from(x, (v, i) => v + y[i]),
  },
  {
    name: 'gelu',
    shape: `size=${tokens * 4 * width}`,
    inputs: [[tokens, 4 * width]],
    flops: 20 * tokens * 4 * width,
    run: (x) => gelu(x),
    expected: (x) => Float64Array.from(x, (v) => v * normalCdf(v)),
  },
  {
    name: 'sum',
    shape: `rows=${tokens} width=${width}`,
    inputs: [[tokens, width]],
    flops: tokens * width,
    run: (x) => sum(x, { axes: [0] }),
    expected: (x) =>
      Float64Array.from({ length: width }, (_, i) => {
        let all = 0
        for (let row = 0; row < tokens; row++) all += x[row * width + i]
        return all
      }),
  },
  {
    name: 'conv2d',
    shape: 'batch=8 channels=64x64 image=16x16 kernel=3x3',
    inputs: [[8, 64, 16, 16], [64, 64, 3, 3]],
    flops: 2 * 8 * 64 * 64 * 9 * 256,
    run: (x, weight) => conv2d(x, weight, null, { padding: 1 }),
    expected: (x, weight) => convolved(x, weight, 8, 64, 64, 16),
  },
]

/** Rows for layer norm, softmax, elementwise ops, column sums and a convolution. */
export function layerCases(): CaseMaker[] {
  return layers.map((layer) => ({ name: layer.name, make: () => Promise.resolve(layerCase(layer)) }))
}

function layerCase({ name, shape, inputs, run, expected, flops }: Layer): BenchCase {
  const values = inputs.map((sizes, i) =>
    fillNormal(new Float32Array(sizes.reduce((a, b) => a * b, 1)), 1, `input ${i}`)
  )
  const tensors = values.map((data, i) => tensor(data, inputs[i]))
  const answer = expected(...values)
  const elements = answer.length + values.reduce((all, { length }) => all + length, 0)
  return {
    suite: 'kernels',
    name,
    shape,
    flops,
    bytes: 4 * elements,
    expected: answer,
    subjects: [{
      impl: 'espalier',
      async run() {
        const out = scope(() => run(...tensors))
        const data = await out.data()
        out.dispose()
        return data
      },
      device: () =>
        deviceTime(() => {
          scope(() => {
            run(...tensors)
          })
        }),
      dispose: () => {
        for (const input of tensors) input.dispose()
      },
    }],
  }
}

const total = (row: ArrayLike<number>) => Array.from(row).reduce((a, b) => a + b, 0)

function byRow(x: Float32Array, width: number, f: (row: number[]) => number[]): Float64Array {
  const out = new Float64Array(x.length)
  for (let at = 0; at < x.length; at += width) out.set(f(Array.from(x.subarray(at, at + width))), at)
  return out
}

/** The normal distribution function: Simpson's rule on the density, which is exact to 1e-12 at this step. */
function normalCdf(x: number): number {
  if (x < -10) return 0
  if (x > 10) return 1
  const steps = 200, h = x / steps
  let area = 0
  for (let i = 0; i <= steps; i++) area += Math.exp(-((i * h) ** 2) / 2) * (i === 0 || i === steps ? 1 : i % 2 ? 4 : 2)
  return 0.5 + area * h / 3 / Math.sqrt(2 * Math.PI)
}

function convolved(
  x: Float32Array,
  weight: Float32Array,
  batch: number,
  inputs: number,
  outputs: number,
  side: number,
): Float64Array {
  const out = new Float64Array(batch * outputs * side * side)
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outputs; o++) {
      for (let c = 0; c < inputs; c++) {
        for (let k = 0; k < 9; k++) {
          const factor = weight[(o * inputs + c) * 9 + k], [dy, dx] = [Math.floor(k / 3) - 1, k % 3 - 1]
          for (let y = Math.max(0, -dy); y < Math.min(side, side - dy); y++) {
            for (let column = Math.max(0, -dx); column < Math.min(side, side - dx); column++) {
              out[((n * outputs + o) * side + y) * side + column] += factor
                * x[((n * inputs + c) * side + y + dy) * side + column + dx]
            }
          }
        }
      }
    }
  }
  return out
}

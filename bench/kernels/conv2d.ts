// Convolutions of VGG, ResNet, DeiT and FLatten: forward, gradient to the input, gradient to the weight.
import { deviceTime } from '../../src/gpu/timing.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { depthwise } from '../../src/ops/conv2d/depthwise.ts'
import { fillUniform } from '../../src/base/random.ts'
import { empty, tensor, type Tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import type { BenchCase, CaseMaker } from '../harness.ts'

type Pass = 'forward' | 'dx' | 'dw'

interface Layer {
  name: string
  batch: number
  channels: number
  outputs: number
  side: number
  kernel: number
  stride?: number
  padding?: number
  depthwise?: boolean
  passes: readonly Pass[]
}

const all = ['forward', 'dx', 'dw'] as const

const layers: Layer[] = [
  { name: 'vgg 56', batch: 1, channels: 64, outputs: 64, side: 56, kernel: 3, padding: 1, passes: all },
  { name: 'vgg 14', batch: 1, channels: 512, outputs: 512, side: 14, kernel: 3, padding: 1, passes: ['forward'] },
  { name: 'resnet20', batch: 8, channels: 16, outputs: 16, side: 32, kernel: 3, padding: 1, passes: all },
  {
    name: 'resnet50 stem',
    batch: 1,
    channels: 3,
    outputs: 64,
    side: 224,
    kernel: 7,
    stride: 2,
    padding: 3,
    passes: ['forward'],
  },
  { name: 'resnet50 1x1', batch: 1, channels: 256, outputs: 64, side: 56, kernel: 1, passes: all },
  { name: 'deit patches', batch: 1, channels: 3, outputs: 192, side: 224, kernel: 16, stride: 16, passes: all },
  {
    name: 'flatten depthwise',
    batch: 8,
    channels: 192,
    outputs: 192,
    side: 14,
    kernel: 5,
    padding: 2,
    depthwise: true,
    passes: all,
  },
  {
    name: 'mobilenet depthwise',
    batch: 1,
    channels: 144,
    outputs: 144,
    side: 56,
    kernel: 3,
    padding: 1,
    depthwise: true,
    passes: all,
  },
  {
    name: 'mobilenet depthwise by two',
    batch: 1,
    channels: 192,
    outputs: 192,
    side: 28,
    kernel: 3,
    stride: 2,
    padding: 1,
    depthwise: true,
    passes: all,
  },
]

/** One case per layer and pass. */
export function convolutionCases(): CaseMaker[] {
  return layers.flatMap((layer) =>
    layer.passes.map((pass) => ({
      name: `conv2d ${layer.name} ${pass}`,
      make: () => Promise.resolve(convolutionCase(layer, pass)),
    }))
  )
}

function convolutionCase(layer: Layer, pass: Pass): BenchCase {
  const { name, batch, channels, outputs, side, kernel, stride = 1, padding = 0 } = layer
  const out = Math.floor((side + 2 * padding - kernel) / stride) + 1, inner = layer.depthwise ? 1 : channels
  const shapes = {
    x: [batch, channels, side, side],
    w: [outputs, inner, kernel, kernel],
    y: [batch, outputs, out, out],
  }
  const values = Object.fromEntries(
    Object.entries(shapes).map(([key, shape]) => [
      key,
      fillUniform(new Float32Array(shape.reduce((a, b) => a * b, 1)), 1, key, -1),
    ]),
  ) as Record<keyof typeof shapes, Float32Array>
  const [x, w, dy] = [tensor(values.x, shapes.x), tensor(values.w, shapes.w), tensor(values.y, shapes.y)]
  const f = layer.depthwise ? depthwise : conv2d
  // A backward pass alone: a call as the tape would have it, with nothing recorded.
  const call = {
    op: f.op,
    args: [x, w, null],
    attrs: { stride, padding },
    out: dy,
    saved: {},
    needs: [pass === 'dx', pass === 'dw', false],
    detached: false,
  }
  const compute = (): Tensor =>
    pass === 'forward' ? f(x, w, null, { stride, padding }) : f.op.vjp(call, dy)[pass === 'dx' ? 0 : 1] ?? empty([1])
  const expected = inDoubles(layer, out, values, pass)
  return {
    suite: 'kernels',
    name: `conv2d ${name} ${pass}`,
    shape: `x=${shapes.x.join('x')} w=${shapes.w.join('x')} s${stride}`,
    expected,
    flops: 2 * values.y.length * inner * kernel * kernel,
    bytes: 4 * (values.x.length + values.w.length + values.y.length),
    subjects: [{
      impl: 'espalier',
      async run() {
        const result = scope(compute)
        const data = await result.data()
        result.dispose()
        return data
      },
      device: () =>
        deviceTime(() => {
          scope(() => {
            compute()
          })
        }),
      dispose: () => {
        for (const each of [x, w, dy]) each.dispose()
      },
    }],
  }
}

/** y, dx or dw: the three sums over the same products, each with another of the three arrays as its result. */
function inDoubles(
  { batch, channels, outputs, side, kernel, stride = 1, padding = 0, depthwise: isDepthwise }: Layer,
  out: number,
  given: Record<'x' | 'w' | 'y', Float32Array>,
  pass: Pass,
): Float64Array {
  const x = Float64Array.from(given.x)
  const w = Float64Array.from(given.w)
  const y = Float64Array.from(given.y)
  const result = { forward: y, dx: x, dw: w }[pass].fill(0)
  const inner = isDepthwise ? 1 : channels
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outputs; o++) {
      for (let c = 0; c < inner; c++) {
        for (let u = 0; u < kernel; u++) {
          for (let v = 0; v < kernel; v++) {
            const atW = ((o * inner + c) * kernel + u) * kernel + v
            for (let i = 0; i < out; i++) {
              const row = i * stride - padding + u
              if (row < 0 || row >= side) continue
              const atX = ((n * channels + (isDepthwise ? o : c)) * side + row) * side - padding + v,
                atY = ((n * outputs + o) * out + i) * out
              for (
                let j = Math.max(0, Math.ceil((padding - v) / stride));
                j < out && j * stride - padding + v < side;
                j++
              ) {
                if (pass === 'forward') y[atY + j] += x[atX + j * stride] * w[atW]
                else if (pass === 'dx') x[atX + j * stride] += y[atY + j] * w[atW]
                else w[atW] += y[atY + j] * x[atX + j * stride]
              }
            }
          }
        }
      }
    }
  }
  return result
}

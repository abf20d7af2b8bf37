// `bench attention`: from how many tokens on is focused linear attention faster than softmax attention? Both modules,
// their four layers included, in turns over square grids of tokens; forward, and with the gradient of all parameters
// and of the input. Outputs are checked in doubles, gradients against a central difference of them.
import { fillNormal } from '../src/base/random.ts'
import { compile } from '../src/core/compile.ts'
import { tensor, type Tensor } from '../src/core/tensor.ts'
import { inference, valueAndGrad } from '../src/core/transform.ts'
import { disposeTree, parameters } from '../src/core/tree.ts'
import { Attention } from '../src/nn/attention.ts'
import { FocusedAttention } from '../src/nn/focused-attention.ts'
import { mul } from '../src/ops/elementwise.ts'
import { sum } from '../src/ops/reduce.ts'
import type { BenchCase, CaseMaker, Row, Subject } from './harness.ts'
import { type AttentionSizes, focusedInDoubles, softmaxInDoubles, type Values } from './kernels/attention-reference.ts'
import type { BreakEvenRow } from './schema.ts'
import { breakEven, type DensityTimes } from './statistics.ts'
import { shapeOfCurve } from './table.ts'

/** Which modules, grids and batches. */
export interface AttentionOptions {
  batches: readonly number[]
  /** Keeps cases by their name, `deit-tiny b8 forward`. */
  only?: readonly string[]
  /** Three small grids. */
  quick?: boolean
}

/** Heads of 16 channels, as small networks have them, and of 64, as ViT and DeiT. */
const modules = [{ name: 'compact', width: 64, heads: 4 }, { name: 'deit-tiny', width: 192, heads: 3 }] as const

/** Sides of grids: 16 to 1024 tokens; a picture of 224 pixels in patches of 16 has a grid of 14. */
const sides: readonly number[] = [4, 6, 8, 10, 12, 14, 16, 20, 24, 32]

const whats = ['forward', 'gradient'] as const
type What = typeof whats[number]

/** Cases by module, batch, what is computed and grid. */
export function attentionGrids({ batches, only, quick }: AttentionOptions): CaseMaker[] {
  return modules.flatMap(({ name: of, ...module }) =>
    batches.flatMap((batch) =>
      whats.flatMap((what) =>
        (quick ? [3, 6, 9] : sides).map((side) => ({
          name: `${of} b${batch} ${what}`,
          make: () => Promise.resolve(gridCase(`${of} b${batch} ${what}`, what, { ...module, side }, batch)),
        }))
      )
    )
  ).filter(({ name }) => !only || only.some((word) => name.includes(word)))
}

/** One module of each kind on one grid, `batch` times the same picture. */
export function gridCase(name: string, what: What, sizes: AttentionSizes, batch: number): BenchCase {
  const { width, heads, side } = sizes, tokens = side ** 2, size = tokens * width
  const [x, probe] = ['x', 'probe'].map((stream) => Float64Array.from(fillNormal(new Float32Array(size), 3, stream)))
  const of = (impl: string, module: Module, reference: Reference) => {
    const subject = what === 'forward' ? forwardOf : gradientOf
    return { impl, tokens, ...subject(filled(module), { x, probe, reference, sizes, batch }) }
  }
  return {
    suite: 'attention',
    name,
    shape: `batch=${batch} heads=${heads} width=${width} tokens=${tokens}`,
    flops: 0,
    bytes: 0,
    expected: [],
    clock: 'device',
    baselines: ['softmax'],
    tolerance: what === 'forward' ? 1e-5 : 1e-4,
    subjects: [
      of('softmax', new Attention(width, heads), softmaxInDoubles),
      of('focused', new FocusedAttention(width, heads, side), focusedInDoubles),
    ],
  }
}

type Module = Attention | FocusedAttention
type Reference = (x: Float64Array, values: Values, sizes: AttentionSizes) => Float64Array

interface Work {
  x: Float64Array
  /** Weights of the outputs in the sum whose gradient is taken. */
  probe: Float64Array
  reference: Reference
  sizes: AttentionSizes
  batch: number
}

interface Filled {
  module: Module
  values: Values
}

/** Normal numbers in every parameter, so that each of them counts in what comes out. */
function filled(module: Module): Filled {
  const values = parameters(module).map(([path, leaf]) => {
    const drawn = fillNormal(new Float32Array(leaf.size), 3, path, 0.1)
    leaf.write(drawn)
    return [path, Float64Array.from(drawn)] as const
  })
  return { module, values: Object.fromEntries(values) }
}

function forwardOf({ module, values }: Filled, { x, reference, sizes, batch }: Work): Omit<Subject, 'impl'> {
  const input = batched(x, sizes, batch), forward = compile((x: Tensor) => inference(() => module.call(x)))
  return {
    expected: repeated(reference(x, values, sizes), batch),
    async run() {
      const out = forward(input), found = await out.data()
      out.dispose()
      return found
    },
    launch: () => {
      forward(input).dispose()
    },
    dispose: () => {
      forward.clear()
      disposeTree([module, input])
    },
  }
}

function gradientOf({ module, values }: Filled, { x, probe, reference, sizes, batch }: Work): Omit<Subject, 'impl'> {
  const input = batched(x, sizes, batch), weights = batched(probe, sizes, batch)
  const both = { module, x: input }
  const gradient = valueAndGrad(({ module, x }: typeof both) => sum(mul(module.call(x), weights)))
  const step = compile(() => gradient(both)[0])
  const all: Values = { ...values, x }, slopes = directions(all)
  const loss = (by: number) => {
    const moved = Object.fromEntries(
      Object.entries(all).map(([name, value]) => [name, value.map((each, i) => each + by * slopes[name][i])]),
    )
    return batch * dot(reference(moved.x, moved, sizes), probe)
  }
  return {
    // A loss and its slope along one direction through all parameters and the picture.
    expected: [loss(0), (loss(1e-5) - loss(-1e-5)) / 2e-5],
    async run() {
      const [value, grads] = gradient(both)
      let slope = 0
      for (const [path, grad] of parameters(grads)) {
        const name = path.replace(/^module\./, '')
        slope += dot(await grad.data(), name === 'x' ? repeated(slopes.x, batch) : slopes[name])
      }
      const found = [await value.item(), slope]
      disposeTree([value, grads])
      return found
    },
    launch: () => {
      step().dispose()
    },
    dispose: () => {
      step.clear()
      disposeTree([module, input, weights])
    },
  }
}

const batched = (x: Float64Array, { side, width }: AttentionSizes, batch: number): Tensor =>
  tensor(Float32Array.from(repeated(x, batch)), [batch, side ** 2, width])

function repeated(values: Float64Array, times: number): Float64Array {
  const out = new Float64Array(times * values.length)
  for (let i = 0; i < times; i++) out.set(values, i * values.length)
  return out
}

const directions = (values: Values): Values =>
  Object.fromEntries(
    Object.entries(values).map(([name, { length }]) => [
      name,
      Float64Array.from(fillNormal(new Float32Array(length), 5, name, 0.1)),
    ]),
  )

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < b.length; i++) sum += a[i] * b[i]
  return sum
}

/** From how many tokens on the focused module is faster, for every module, batch and what is computed. */
export function tokenBreakEvens(rows: readonly Row[]): BreakEvenRow[] {
  const curves = new Map<string, { row: Row, shape: string, points: DensityTimes[] }>()
  for (const row of rows.filter(({ impl }) => impl === 'focused')) {
    const softmax = rows.find((other) =>
      other.impl === 'softmax' && other.name === row.name && other.shape === row.shape && other.profile === row.profile
    )
    const { tokens } = row, shape = shapeOfCurve(row)
    if (!softmax?.msRounds || !row.msRounds || !tokens) continue
    const key = JSON.stringify([row.name, shape, row.profile]), curve = curves.get(key) ?? { row, shape, points: [] }
    curves.set(key, curve)
    // Its share of the time falls with tokens, as that of a sparse product rises with its density.
    const density = 1 / tokens
    curve.points.push({ density, dense: softmax.msRounds, sparse: row.msRounds, processes: row.processes })
  }
  const turned = { above: 'below', below: 'above' } as const
  return [...curves.values()].filter(({ points }) => points.length > 1).map(({ row, shape, points }) => {
    const { value, low, high, beyond } = breakEven(points)
    return {
      pattern: row.impl,
      op: row.name,
      shape,
      over: 'softmax',
      by: 'tokens',
      value: 1 / value,
      low: 1 / high,
      high: 1 / low,
      beyond: beyond && turned[beyond],
      ...row.profile && { profile: row.profile },
    }
  })
}

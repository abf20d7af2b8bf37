// Where relevance is lost on the way: what enters each call from above, what its inputs get, and what biases and other
// constants absorb (b times its own coefficient). What is left belongs to the stabiliser, or to a softmax, which does
// not conserve.
import { full } from '../core/fill.ts'
import { add, mul, rsqrt, sub } from '../ops/elementwise.ts'
import { concat } from '../ops/permute.ts'
import { sum } from '../ops/reduce.ts'
import { type Call, unrecorded } from '../core/tape.ts'
import { type Tensor, unscoped } from '../core/tensor.ts'
import { disposeTree } from '../core/tree.ts'
import type { LrpRule, Network } from './choose.ts'

/** Arguments that are added to the output (or to logits) and so absorb relevance where nothing asks for it. */
const addends: Readonly<Record<string, readonly number[]>> = {
  linear: [2],
  conv2d: [2],
  depthwise: [2],
  'masked-linear': [3],
  layerNorm: [2],
  batchnorm: [2],
  attention: [3],
  add: [0, 1],
  sub: [0, 1],
}
const addendsOf = ({ op, args }: Call): readonly number[] =>
  op.name === 'concat' ? args.map((_, i) => i) : addends[op.name] ?? []

/** Sums over all images of one call's relevance. */
export interface Flow {
  op: string
  /** The layer: the path of the call's weight, else of the nearest layer before it. */
  layer: string
  /** Relevance of the output. */
  entering: number
  /** Relevance handed on to the inputs. */
  leaving: number
  /** Relevance of biases and other constants. */
  absorbed: number
  /** entering - leaving - absorbed. */
  rest: number
}

interface Note {
  op: string
  layer: string
  entering: Tensor
  leaving: Tensor[]
  absorbed: Tensor[]
}

/** Notes down every call that relevance passes. One ledger is for one walk. */
export class Ledger {
  private readonly notes: Note[] = []

  /** The rule, which also computes what the constants of the call absorb. */
  watching(rule: LrpRule, network: Network): LrpRule {
    const watched: LrpRule = (call, c) => {
      const constants = addendsOf(call).filter((i) => call.args[i] && !call.needs[i])
      const parts = rule({ ...call, needs: call.needs.map((need, i) => need || constants.includes(i)) }, c)
      const dot = (x: Tensor, y: Tensor) =>
        unscoped(() => {
          const both = mul(x, y), total = sum(both), flat = total.view([1])
          disposeTree([both, total])
          return flat
        })
      const given = rule.firstLayerOnly ? (x: Tensor) => full(x.shape, 1) : (x: Tensor) => x
      const leaving = call.args.flatMap((arg, i) => arg && parts[i] && call.needs[i] ? [dot(given(arg), parts[i])] : [])
      const absorbed = call.args.flatMap((_, i) =>
        constants.includes(i) && parts[i] ? [dot(constantOf(call, i), parts[i])] : []
      )
      const { by } = call.attrs as { by?: number }
      if (call.op.name === 'offset') absorbed.push(dot(full(c.shape, by!), c))
      this.notes.push({ op: call.op.name, layer: network.layerOf(call), entering: dot(call.out, c), leaving, absorbed })
      return parts.map((part, i) => call.needs[i] ? part : null)
    }
    return Object.assign(watched, {
      firstLayerOnly: rule.firstLayerOnly,
      bySign: rule.bySign,
      atSoftmax: rule.atSoftmax,
    })
  }

  /** The flows, first layer first. Frees what was noted down. */
  async flows(): Promise<Flow[]> {
    const scalars = this.notes.flatMap(({ entering, leaving, absorbed }) => [entering, ...leaving, ...absorbed])
    if (!scalars.length) return []
    const together = scalars.length > 1 ? unrecorded(() => concat(...scalars, { axis: 0 })) : scalars[0]
    const values = [...await together.data()]
    for (const scalar of [...scalars, together]) scalar.dispose()
    const flows = this.notes.map(({ op, layer, leaving, absorbed }) => {
      const [entering] = values.splice(0, 1)
      const total = (count: number) => values.splice(0, count).reduce((a, b) => a + b, 0)
      const left = total(leaving.length), kept = total(absorbed.length)
      return { op, layer, entering, leaving: left, absorbed: kept, rest: entering - left - kept }
    })
    this.notes.length = 0
    return flows.reverse()
  }
}

/** The constant that an addend stands for: of batch norm it is the bias minus the mean, normalised. */
function constantOf(call: Call, i: number): Tensor {
  if (call.op.name !== 'batchnorm') return call.args[i]!
  const [, gain, bias, mean, variance] = call.args as Tensor[]
  const { eps = 1e-5 } = call.attrs as { eps?: number }
  return sub(bias, mul(mean, mul(gain, rsqrt(add(variance, full([], eps))))))
}

/** Sums of flows by layer and op, in order, without those that pass relevance on unchanged. */
export function summarize(flows: readonly Flow[], threshold = 1e-6): Flow[] {
  const rows = new Map<string, Flow>()
  for (const flow of flows) {
    const key = `${flow.layer} ${flow.op}`, row = rows.get(key)
    if (!row) rows.set(key, { ...flow })
    else for (const field of ['entering', 'leaving', 'absorbed', 'rest'] as const) row[field] += flow[field]
  }
  return [...rows.values()].filter(({ absorbed, rest }) => Math.abs(absorbed) > threshold || Math.abs(rest) > threshold)
}

// Where relevance is lost on the way: what enters each call from above, what its inputs get, and what biases and other
// constants absorb (b times its own coefficient). What is left belongs to the stabiliser, or to a softmax, which does
// not conserve.
import { full } from '../core/fill.ts'
import { mul } from '../ops/elementwise.ts'
import { concat } from '../ops/permute.ts'
import { sum } from '../ops/reduce.ts'
import { unrecorded } from '../core/tape.ts'
import { type Tensor, unscoped } from '../core/tensor.ts'
import { disposeTree } from '../core/tree.ts'
import type { LrpRule } from './composite.ts'
import type { Network } from './network.ts'

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
      const addends = call.op.addends(call.args)
      const constants = addends.filter((i) => call.args[i] && !call.needs[i])
      const own = call.op.constant(call.args, call.attrs)
      const parts = rule({ ...call, needs: call.needs.map((need, i) => need || constants.includes(i)) }, c)
      const dot = (x: Tensor, y: Tensor) =>
        unscoped(() => {
          const both = mul(x, y)
          const total = sum(both)
          const flat = total.view([1])
          disposeTree([both, total])
          return flat
        })
      const given = rule.firstLayerOnly ? (x: Tensor) => full(x.shape, 1) : (x: Tensor) => x
      const leaving = call.args.flatMap((arg, i) => arg && parts[i] && call.needs[i] ? [dot(given(arg), parts[i])] : [])
      const absorbed = call.args.flatMap((_, i) =>
        constants.includes(i) && parts[i] ? [dot(i === addends[0] && own ? own : call.args[i]!, parts[i])] : []
      )
      if (own && addends.length === 0) absorbed.push(dot(own, c))
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

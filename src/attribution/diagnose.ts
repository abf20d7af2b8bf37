// Where relevance that is no number came from.
import { firstNonFinite } from '../core/diagnose.ts'
import type { Tensor } from '../core/tensor.ts'
import { disposeTree } from '../core/tree.ts'
import type { Model } from '../nn/model.ts'
import { type Flow, Ledger } from './conservation.ts'
import type { AttributionMethod } from './relevance.ts'

/**
 * Explains once more and says which op of which layer first gave a NaN or an infinity: of the forward pass, else of the
 * walk back; null if all is finite. `attribute` itself reads nothing back, so a value that is no number shows only
 * where a reading is read. Slow: it reads every result.
 */
export async function firstNonFiniteRelevance(
  model: Model,
  images: Tensor,
  targets: Tensor,
  method: AttributionMethod,
): Promise<string | null> {
  const forward = await firstNonFinite(model, () => model.call(images))
  if (forward) return forward
  const ledger = new Ledger(), reading = method(model, images, targets, { ledger })
  disposeTree([reading.logits, reading.input, [...reading.sites.values()]])
  const flow = brokenFlow(await ledger.flows())
  return flow && `relevance first ceases to be finite at '${flow.op}' in or after the layer of '${flow.layer}'`
}

/** The flow nearest to the logits that is no number; null if all are. */
function brokenFlow(flows: readonly Flow[]): Flow | null {
  return flows.findLast(({ entering, leaving, absorbed }) => !Number.isFinite(entering + leaving + absorbed)) ?? null
}

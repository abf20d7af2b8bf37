// Batch norm into the convolution or linear layer before it: W' = W k, b' = (b - mean) k + bias with k = gain /
// sqrt(variance + eps).
import { full } from '../core/fill.ts'
import { batchNorm } from '../ops/batchnorm.ts'
import { add, mul, rsqrt, sub } from '../ops/elementwise.ts'
import { type Call, unrecorded } from '../core/tape.ts'
import { Tensor } from '../core/tensor.ts'
import { scope, trace } from '../core/transform.ts'
import { leaves, mapTree, namesOf } from '../core/tree.ts'
import { withAnyClass } from './masks.ts'
import type { Model } from './model.ts'
import { type PackedWeight, packedWeights } from './weight.ts'

/** What stands where a batch norm was: passes its input on. */
export class Identity {
  call(x: Tensor): Tensor {
    return x
  }
}

interface Fold {
  layer: Call
  norm: Call
  weight: string
  bias: string
  owner: string
}

/**
 * A model that computes the same with each batch norm multiplied into the layer whose output it alone reads. Pairs are
 * found by a trace of shapes, whatever the architecture; a layer without a bias gets one. Structure, paths, gates and
 * masks stay; a folded norm becomes an `Identity`. The input's shape is `[batch, channels, y, x]`. What did not change
 * shares the buffers of the given model, so either model may be freed with `disposeTree` without harm to the other.
 */
export function foldBatchNorm<M extends Model>(model: M, inputShape: readonly number[]): M {
  const paths = new Map(leaves(model).map(([path, leaf]) => [leaf, path]))
  const folds = pairs(
    trace((input) => withAnyClass(model, inputShape[0], () => model.call(input(inputShape)))).calls,
    paths,
    model,
  )
  const packed = new Map(packedWeights(model))
  return scope(() => {
    const replaced = new Map<string, Tensor>()
    for (const { layer, norm, weight, bias } of folds) {
      const folded = unrecorded(() => parameters(layer, norm, packed.get(parent(weight))))
      replaced.set(weight, folded.weight)
      replaced.set(bias, folded.bias)
    }
    const copy = mapTree(model, (leaf, path) => replaced.get(path) ?? leaf.view(leaf.shape), { untie: true })
    for (const { bias, owner } of folds) {
      set(copy, bias, replaced.get(bias)!)
      set(copy, owner, new Identity())
    }
    return copy
  })
}

/** Layers whose output goes to one batch norm and nowhere else, where both belong to the model by simple fields. */
function pairs(calls: readonly Call[], paths: ReadonlyMap<Tensor, string>, model: unknown): Fold[] {
  const readers = new Map<Tensor, Call[]>(), names = namesOf(model)
  for (const call of calls) {
    for (const arg of call.args) if (arg) readers.set(arg, [...readers.get(arg) ?? [], call])
  }
  return calls.flatMap((layer) => {
    const own = weightOf(layer)
    if (!own) return []
    const next = readers.get(layer.out) ?? []
    const weight = paths.get(own), gain = next[0]?.op === batchNorm.op ? paths.get(next[0].args[1]!) : undefined
    if (next.length !== 1 || weight === undefined || gain === undefined) return []
    // A weight that several layers share cannot take one norm's factors.
    if (readers.get(own)!.length > 1) return []
    const present = biasOf(layer), bias = present ? paths.get(present) : emptyBias(model, names.get(own)!)
    const owner = parent(gain)
    return bias !== undefined && owner !== '' ? [{ layer, norm: next[0], weight, bias, owner }] : []
  })
}

const weightOf = ({ op, args }: Call) => op.weight === null ? null : args[op.weight]
const biasOf = ({ op, args }: Call) => op.bias === null ? null : args[op.bias]
const parent = (path: string) => path.split('.').slice(0, -1).join('.')

/** The field `bias` beside a weight, where it is there to be filled. */
function emptyBias(model: unknown, weight: string): string | undefined {
  const owner = at(model, parent(weight))
  return owner.bias === null ? `${parent(weight)}.bias`.replace(/^\./, '') : undefined
}

function parameters(
  layer: Call,
  { args, attrs }: Call,
  packed: PackedWeight | undefined,
): { weight: Tensor, bias: Tensor } {
  const weight = weightOf(layer)!, bias = biasOf(layer)
  const [, gain, shift, mean, variance] = args as Tensor[]
  const { eps = 1e-5 } = attrs as { eps?: number }
  const factor = mul(gain, rsqrt(add(variance, full([], eps))))
  const centred = bias ? sub(bias.view(mean.shape), mean) : sub(full([], 0), mean)
  return {
    weight: packed?.scaled(factor) ?? mul(weight, factor.view([factor.size, ...weight.shape.slice(1).map(() => 1)])),
    bias: add(mul(centred, factor), shift),
  }
}

function at(model: unknown, path: string): Record<string, unknown> {
  return path.split('.').filter(Boolean).reduce(
    (value, name) => (value as Record<string, Record<string, unknown>>)[name],
    model as Record<string, unknown>,
  )
}

function set(model: unknown, path: string, value: unknown) {
  at(model, parent(path))[path.split('.').at(-1)!] = value
}

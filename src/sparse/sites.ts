// Which weights of a network can be packed: those that a linear layer or a convolution reads, found in a trace of
// shapes, whatever the architecture. And the one way to put another weight in the place of one.
import { sizeOf } from '../base/shape.ts'
import { InputError, ShapeError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import type { Call } from '../core/tape.ts'
import type { Tensor } from '../core/tensor.ts'
import { trace } from '../core/transform.ts'
import { describedLeaves, isBranch } from '../core/tree.ts'
import { withAnyClass } from '../nn/masks.ts'
import type { Model } from '../nn/model.ts'
import { packedWeights } from '../nn/weight.ts'
import { conv2d, type ConvAttrs } from '../ops/conv2d/conv2d.ts'
import { linear, type LinearOptions } from '../ops/matmul/linear.ts'
import type { MatrixShape } from './pattern.ts'

/** A weight of a network, as the matrix of a linear map. */
export interface WeightSite {
  /** Where it stands; tied weights stand at several places. */
  path: string
  paths: readonly string[]
  /** The axes of the tensor that are outputs, and those that are inputs. */
  outputs: readonly number[]
  inputs: readonly number[]
  /** Its rows and columns. */
  matrix: MatrixShape
}

/** What a network has: weights that can be packed, and why others that are multiplied by cannot. */
export interface WeightSites {
  sites: WeightSite[]
  /** By path. */
  others: Map<string, string>
}

/** The number of axes of outputs, or why a call's weight cannot be packed; null for calls that are no layers. */
function axesOf({ op, args, attrs }: Call): number | string | null {
  const weight = op.weight === null ? null : args[op.weight]
  if (!weight || !(op.is('dense') || op.is('convolution'))) return null
  if (op === linear.op) return weight.shape.length - ((attrs as LinearOptions).over ?? 1)
  if (op !== conv2d.op) return `'${op.name}' multiplies by it, expected a linear layer or a convolution`
  const { groups = 1 } = attrs as ConvAttrs
  return groups === 1 ? 1 : `its convolution has ${groups} groups, expected one`
}

/**
 * The weights of a network for images of `inputShape` [n, channels, height, width], in the order of the forward pass.
 * Needs no device.
 */
export function weightSites(model: Model, inputShape: readonly number[]): WeightSites {
  const { calls } = trace((input) => withAnyClass(model, inputShape[0], () => model.call(input(inputShape))))
  const paths = new Map<Tensor, string[]>()
  for (const [path, leaf, { partOf }] of describedLeaves(model)) {
    if (partOf === undefined) paths.set(leaf, [...paths.get(leaf) ?? [], path])
  }
  const sites = new Map<string, WeightSite>()
  const others = new Map(packedWeights(model).map(([path]) => [path, 'it is packed already']))
  for (const call of calls) {
    const count = axesOf(call), weight = call.op.weight === null ? null : call.args[call.op.weight]
    const own = weight && paths.get(weight)
    if (count === null || !own) continue
    const [path] = own
    if (typeof count === 'string') {
      others.set(path, count)
      continue
    }
    const outputs = weight.shape.slice(0, count), inputs = weight.shape.slice(count)
    const before = sites.get(path)
    if (before && before.outputs.length !== count) others.set(path, 'two layers read it in different ways')
    sites.set(path, { path, paths: own, outputs, inputs, matrix: [sizeOf(outputs), sizeOf(inputs)] })
  }
  return { sites: [...sites.values()].filter(({ path }) => !others.has(path)), others }
}

/**
 * The weights that are not left out. `skip` names layers or weights, `*` standing for anything: `head`,
 * `blocks.0.*`, `*.attention`.
 * @throws InputError for a name that no weight has, and where nothing is left.
 */
export function chooseSites({ sites, others }: WeightSites, skip: readonly string[] = []): WeightSite[] {
  const tests = skip.map((text) => ({ text, test: matcher(text) }))
  const all = [...sites.map(({ path }) => path), ...others.keys()]
  const unknown = tests.find(({ test }) => !all.some((path) => test.test(path)))
  if (unknown) {
    throw new InputError(
      `--skip ${quoted(unknown.text, 60)}: no weight has such a name, expected one of ${
        all.slice(0, 6).join(', ')
      }, ..., or a layer, * for anything`,
    )
  }
  const left = sites.filter(({ path }) => !tests.some(({ test }) => test.test(path)))
  if (left.length) return left
  const [[path, reason] = ['', '']] = others
  throw new InputError(
    `nothing is left to be packed${path ? `: ${quoted(path, 60)} cannot be, ${reason}` : ''}; expected linear layers `
      + 'or convolutions that --skip does not name',
  )
}

/** A weight of that name, or any of a layer of that name. */
const matcher = (text: string): RegExp =>
  new RegExp(`^${text.split('*').map((part) => part.replace(/[.[\]()+?^$|{}\\]/g, '\\$&')).join('.*')}($|\\.)`)

/** Puts a weight, or another tensor, at a path. @throws ShapeError where nothing stands there. */
export function putWeight(model: unknown, path: string, weight: unknown): void {
  const names = path.split('.'), field = names.pop()!
  const owner = names.reduce<unknown>(
    (value, name) => isBranch(value) ? (value as Record<string, unknown>)[name] : undefined,
    model,
  )
  if (!isBranch(owner) || !Object.hasOwn(owner, field)) {
    throw new ShapeError(`putWeight: the model has nothing at '${path}'; take a path of weightSites(model, inputShape)`)
  }
  ;(owner as Record<string, unknown>)[field] = weight
}

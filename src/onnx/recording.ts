// A forward pass as a list of calls in which sizes that depend on the batch are marked: recorded at two batch sizes and
// compared.
import { InputError } from '../base/errors.ts'
import type { OnnxSize } from '../core/onnx-form.ts'
import { type AnyOp, record } from '../core/tape.ts'
import { fillUniform } from '../base/random.ts'
import { sizeOf } from '../base/shape.ts'
import { type Tensor, tensor, withoutDevice } from '../core/tensor.ts'
import { scope } from '../core/transform.ts'
import type { Model } from '../nn/model.ts'

/** What a call reads: an earlier call's output, the images, a tensor of the model, or one that the model makes anew. */
export type Source =
  | { kind: 'call', index: number }
  | { kind: 'input' }
  | { kind: 'leaf', tensor: Tensor }
  | { kind: 'made', index: number }

/** One call, of tensors that exist no more. */
export interface RecordedCall {
  op: AnyOp
  args: readonly (Source | null)[]
  attrs: object
  out: readonly OnnxSize[]
}

/** A tensor that the model makes anew in every call: its shape, and its values with 1 along open axes. */
export interface MadeTensor {
  shape: readonly OnnxSize[]
  values: Float32Array
  dtype: Tensor['dtype']
}

/** A forward pass. */
export interface Recording {
  calls: readonly RecordedCall[]
  made: readonly MadeTensor[]
  result: Source
  out: readonly OnnxSize[]
}

/** One pass: the same, with the sizes that it had; `made` stay alive. */
interface Pass {
  calls: (Omit<RecordedCall, 'out'> & { out: readonly number[] })[]
  made: Tensor[]
  result: Source
  out: readonly number[]
}

/**
 * Records a model for images of [channels, y, x]. With an open batch two sizes of it are compared; else all sizes are
 * those of `batch` images. Nothing is computed, unless the model makes tensors of its own in a call: then it runs twice
 * on different images, and those tensors must be the same. @throws InputError where they are not, or where a size is no
 * multiple of an open batch.
 */
export async function recorded(
  model: Model,
  image: readonly number[],
  batch: number | 'dynamic',
  leaves: ReadonlySet<Tensor>,
): Promise<Recording> {
  const sizes = batch === 'dynamic' ? [2, 3] as const : [batch, batch] as const
  const traced = sizes.map((n) =>
    withoutDevice(() => passOf(model, tensor(new Float32Array(n * sizeOf(image)), [n, ...image]), leaves))
  )
  const [first, second] = traced[0].made.length ? sizes.map((n, i) => computed(model, n, image, leaves, i)) : traced
  try {
    checkSame(first, second)
    const symbolic = (a: readonly number[], b: readonly number[], what: string) => openSizes(a, b, sizes, what)
    const made = await Promise.all(first.made.map(async (each, i) => {
      const shape = symbolic(each.shape, second.made[i].shape, 'a tensor that the model makes')
      const [values, others] = await Promise.all(
        [each, second.made[i]].map(async (one) => withoutOpen(await one.data() as Float32Array, one.shape, shape)),
      )
      if (values.some((value, at) => !Object.is(value, others[at]))) {
        throw new InputError(
          'a tensor that the model makes in its call depends on the images in a way that no op was recorded for; '
            + 'compute it by ops, without stopGradient, views or read-backs',
        )
      }
      return { shape, values, dtype: each.dtype }
    }))
    return {
      calls: first.calls.map((call, i) => ({ ...call, out: symbolic(call.out, second.calls[i].out, call.op.name) })),
      made,
      result: first.result,
      out: symbolic(first.out, second.out, 'the output'),
    }
  } finally {
    for (const { made } of [first, second]) for (const each of made) each.dispose()
  }
}

/** A real pass on random images. */
function computed(model: Model, n: number, image: readonly number[], leaves: ReadonlySet<Tensor>, seed: number): Pass {
  let pass: Pass
  scope(() => {
    const images = fillUniform(new Float32Array(n * sizeOf(image)), seed, 'onnx', -1, 1)
    pass = passOf(model, tensor(images, [n, ...image]), leaves)
    return pass.made
  })
  return pass!
}

function passOf(model: Model, input: Tensor, leaves: ReadonlySet<Tensor>): Pass {
  const { result, calls } = record(() => model.call(input), [], true)
  const outputs = new Map(calls.map((call, index) => [call.out, index])), made = new Map<Tensor, number>()
  const sourceOf = (arg: Tensor): Source => {
    if (arg === input) return { kind: 'input' }
    const index = outputs.get(arg)
    if (index !== undefined) return { kind: 'call', index }
    if (leaves.has(arg)) return { kind: 'leaf', tensor: arg }
    if (!made.has(arg)) made.set(arg, made.size)
    return { kind: 'made', index: made.get(arg)! }
  }
  return {
    calls: calls.map(({ op, args, attrs, out }) => ({
      op,
      args: args.map((arg) => arg && sourceOf(arg)),
      attrs,
      out: out.shape,
    })),
    result: sourceOf(result),
    made: [...made.keys()],
    out: result.shape,
  }
}

/** Both passes made the same calls of the same things. @throws InputError */
function checkSame(first: Pass, second: Pass): void {
  const told = ({ calls, result }: Pass) =>
    calls.map(({ op, args, attrs }) => `${op.name}(${args.map(sourceText).join(', ')}) ${attrsText(op, attrs)}`)
      .concat(sourceText(result))
  const [a, b] = [told(first), told(second)], at = a.findIndex((text, i) => text !== b[i])
  if (at < 0 && a.length === b.length) return
  const { op } = first.calls[Math.max(0, Math.min(at, first.calls.length - 1))]
  throw new InputError(
    `call ${at + 1}, ${op.name}: the model makes other calls for another batch; export it with a fixed batch`,
  )
}

const sourceText = (source: Source | null): string =>
  source === null ? 'null' : source.kind === 'leaf' ? `leaf ${source.tensor.id}` : JSON.stringify(source)

/** What must not depend on the batch. Shapes of reshapes and ends of slices may: the output says what they are. */
function attrsText(op: AnyOp, attrs: object): string {
  if (op.is('reshape')) return ''
  return JSON.stringify(attrs, (key, value: unknown) => key === 'at' || key === 'stops' ? undefined : value)
}

/** Sizes that are equal, or multiples of the batch. */
function openSizes(
  a: readonly number[],
  b: readonly number[],
  [n, m]: readonly [number, number],
  what: string,
): OnnxSize[] {
  return a.map((size, axis) => {
    if (size === b[axis]) return size
    if (size % n === 0 && size / n === b[axis] / m) return { batch: size / n }
    throw new InputError(
      `${what}: a size of [${a}] is no multiple of the batch (${n} images; ${m} give [${b}]); `
        + 'export it with a fixed batch',
    )
  })
}

/** The first entry along each open axis. @throws InputError where others differ. */
function withoutOpen(values: Float32Array, sizes: readonly number[], shape: readonly OnnxSize[]): Float32Array {
  const kept = sizes.map((n, axis) => typeof shape[axis] === 'number' ? n : 1)
  const out = Float32Array.from({ length: sizeOf(kept) }, () => NaN)
  values.forEach((value, i) => {
    let to = 0, rest = i
    const at = sizes.map(() => 0)
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      at[axis] = rest % sizes[axis]
      rest = Math.floor(rest / sizes[axis])
    }
    kept.forEach((n, axis) => {
      to = to * n + (n === 1 ? 0 : at[axis])
    })
    if (!Number.isNaN(out[to]) && !Object.is(out[to], value)) {
      throw new InputError(
        'a tensor that the model makes in its call differs from image to image; export it with a fixed batch',
      )
    }
    out[to] = value
  })
  return out
}

// Functions that take functions: gradients, scopes, shape traces.
import { sizeOf } from '../base/shape.ts'
import { InputError, NumericError, ShapeError } from '../base/errors.ts'
import { full } from './fill.ts'
import { type Call, pullback, record, unrecorded } from './tape.ts'
import { watchCalls } from './op.ts'
import { scoped, Tensor, tensor, withoutDevice } from './tensor.ts'
import { leaves, mapTree, parameters } from './tree.ts'

/**
 * Runs `work` and frees every tensor made in it, except those in the tree it returns.
 * @throws ShapeError if `work` is asynchronous: tensors made after an await would escape the scope.
 */
export function scope<R>(work: () => R): R {
  return scoped(() => {
    const result = work()
    if (result instanceof Promise) {
      throw new ShapeError('scope: the work is asynchronous; await read-backs outside the scope')
    }
    return result
  }, tensorsOf)
}

function tensorsOf(result: unknown): Tensor[] {
  return leaves(result).map(([, leaf]) => leaf)
}

/** The structure of `M` with a gradient at every tensor, or null where there is none. */
export type Gradient<M> = M extends Tensor ? Tensor | null
  : M extends (...args: never[]) => unknown ? M
  : M extends ReadonlyMap<infer K, infer V> ? Map<K, Gradient<V>>
  : M extends object ? { [K in keyof M]: Gradient<M[K]> }
  : M

const secondOrder = 'valueAndGrad: a gradient inside a function that is differentiated itself, which would need second '
  + 'derivatives; expected first derivatives only, so wrap the inner one in stopGradient(() => …) to take it '
  + 'as a constant'

/** A scalar function of a model and more: returns the loss, alone or with auxiliary tensors. */
export type Loss<M, R extends unknown[], X> = (model: M, ...rest: R) => Tensor | [Tensor, X]

/**
 * The loss and its gradient with respect to the model's parameters. The gradient has the model's structure; fields that
 * are not trained, and parameters the loss does not depend on, are null. Everything else made on the way is freed.
 * @throws ShapeError if the loss is no scalar; InputError inside another gradient that depends on the same tensors:
 * there are no second derivatives.
 */
export function valueAndGrad<M, R extends unknown[]>(
  loss: (model: M, ...rest: R) => Tensor,
): (model: M, ...rest: R) => [Tensor, Gradient<M>] {
  const withAux = valueAndGradAux<M, R, null>((model, ...rest) => [loss(model, ...rest), null])
  return (model, ...rest) => {
    const [value, grads] = withAux(model, ...rest)
    return [value, grads]
  }
}

/** As `valueAndGrad`, for a function that returns `[loss, aux]`; the tensors of `aux` are kept and returned third. */
export function valueAndGradAux<M, R extends unknown[], X>(
  loss: (model: M, ...rest: R) => [Tensor, X],
): (model: M, ...rest: R) => [Tensor, Gradient<M>, X] {
  return (model, ...rest) =>
    scope(() => {
      const wanted = parameters(model).map(([, leaf]) => leaf)
      const { result: [value, aux], calls, hidesFromOuter } = record(() => loss(model, ...rest), wanted)
      if (hidesFromOuter) throw new InputError(secondOrder)
      if (value.size !== 1) {
        throw new ShapeError(`valueAndGrad: the loss must be one number, got [${value.shape}]; take its mean or sum`)
      }
      const seed = full(value.shape, 1)
      const keep = new Set([value, ...tensorsOf(aux), ...wanted])
      const found = pullback(calls, [[value, seed]], { wanted, releaseExcept: keep })
      const given = new Set(wanted)
      const grads = mapTree(model, (leaf) => (given.has(leaf) ? found.get(leaf) ?? null : null)) as Gradient<M>
      return [value, grads, aux]
    })
}

/** The gradient alone; see `valueAndGrad`. */
export function grad<M, R extends unknown[]>(
  loss: (model: M, ...rest: R) => Tensor,
): (model: M, ...rest: R) => Gradient<M> {
  const both = valueAndGrad(loss)
  return (model, ...rest) => {
    const [value, grads] = both(model, ...rest)
    value.dispose()
    return grads
  }
}

/**
 * Runs `f` on tensors and returns its outputs with a function from output cotangents to input cotangents. The tape
 * stays, so the function may be called again; `free()` gives everything back. `f` may return one tensor or an array.
 */
export function vjp(f: (...inputs: Tensor[]) => Tensor | Tensor[], ...inputs: Tensor[]): {
  outputs: Tensor[],
  back: (...cotangents: (Tensor | null)[]) => (Tensor | null)[],
  free: () => void,
} {
  const { result, calls, hidesFromOuter } = record(() => f(...inputs), inputs)
  if (hidesFromOuter) throw new InputError(secondOrder.replace('valueAndGrad', 'vjp'))
  const outputs = Array.isArray(result) ? result : [result]
  const back = (...cotangents: (Tensor | null)[]) => {
    const seeds = outputs.map((out, i) => [out, cotangents[i] ?? null] as const)
      .filter((pair): pair is readonly [Tensor, Tensor] => pair[1] !== null)
    for (const [out, seed] of seeds) {
      if (out.shape.join() !== seed.shape.join()) {
        throw new ShapeError(`vjp: the cotangent [${seed.shape}] must have the shape of its output [${out.shape}]`)
      }
    }
    const found = pullback(calls, seeds, { wanted: inputs })
    return inputs.map((input) => found.get(input) ?? null)
  }
  const free = () => {
    for (const call of calls) {
      call.out.dispose()
      for (const saved of Object.values(call.saved)) saved.dispose()
    }
  }
  return { outputs, back, free }
}

/** What a shapes-only run saw: every call in order, and the result (tensors without content). */
export interface Trace<R> {
  result: R
  calls: Call[]
}

/**
 * Runs `work` with shapes only and returns every op call. Nothing is allocated or computed and no device is needed;
 * reading a value throws. Use `input(shape)` for the arguments.
 */
export function trace<R>(work: (input: (shape: readonly number[]) => Tensor) => R): Trace<R> {
  return withoutDevice(() => record(() => work((shape) => tensor(new Float32Array(sizeOf(shape)), shape)), [], true))
}

/**
 * Runs `work` (inference: nothing is recorded) and frees each tensor as soon as no later op reads it, so that only the
 * widest place of the network is held at once. A shapes-only run beforehand finds out where each tensor is used last,
 * so `work` must make the same calls twice in a row.
 * @throws ShapeError if the two runs differ.
 */
export function inference<R>(work: () => R): R {
  const madeBy = new Map<Tensor, number>(), lastUse: number[] = []
  let names = ''
  const planned = withoutDevice(() =>
    unrecorded(() =>
      watchCalls((op, args, _, out) => {
        const number = lastUse.length
        lastUse.push(-1)
        names += `${op.name} `
        for (const arg of args) {
          const maker = arg && madeBy.get(arg)
          if (maker !== null && maker !== undefined) lastUse[maker] = number
        }
        madeBy.set(out, number)
      }, work)
    )
  )
  for (const kept of tensorsOf(planned)) {
    const maker = madeBy.get(kept)
    if (maker !== undefined) lastUse[maker] = Infinity
  }
  const dying: number[][] = lastUse.map(() => [])
  lastUse.forEach((reader, maker) => {
    dying[reader]?.push(maker)
  })
  const outs: Tensor[] = []
  let seen = ''
  const result = scope(() =>
    unrecorded(() =>
      watchCalls((op, _, __, out) => {
        seen += `${op.name} `
        outs.push(out)
        for (const maker of dying[outs.length - 1]) outs[maker].dispose()
      }, work)
    )
  )
  if (seen !== names) {
    throw new ShapeError(
      'inference: the work made other calls than in its trace; it must not depend on values or change state',
    )
  }
  return result
}

/** Runs `work` without recording it on any tape. */
export function stopGradient<R>(work: () => R): R {
  return unrecorded(work)
}

/**
 * Reads a loss and checks it. @throws NumericError if it is NaN or infinite, with a hint where to look.
 */
export async function finite(value: Tensor, what = 'loss'): Promise<number> {
  const number = await value.item()
  if (!Number.isFinite(number)) {
    throw new NumericError(
      `${what} is ${number}; lower the learning rate or clip gradients; firstNonFinite() finds the layer`,
    )
  }
  return number
}

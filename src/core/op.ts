// op(): wraps an op's `run`, checks its arguments, frees its temporaries and records the call.
import type { AxesSpec } from './axes.ts'
import { DTypeError, ShapeError } from '../base/errors.ts'
import { named } from './launch.ts'
import { activeTape, type Call, type Rule } from './tape.ts'
import { type DType, scoped, Tensor } from './tensor.ts'

/** What `run` returns: the output alone, or with tensors kept for the backward pass. */
export type Run = Tensor | ({ out: Tensor } & Record<string, Tensor>)

/** A call as its op sees it: arguments, attributes and saved tensors with their types. */
export interface TypedCall<T extends readonly unknown[], A> extends Omit<Call, 'args' | 'attrs'> {
  args: T
  attrs: A
}

/** What an op makes of an index whose entries are all zero. */
export type Zero = 'keeps' | 'breaks'

/** The definition of an op; one file each. */
export interface OpSpec<T extends readonly (Tensor | null)[], A extends object> {
  name: string
  /** Which axes are one: `'... c, c, c -> ... c!'`; see axes.ts. A function where reshape-like ops map indices. */
  axes: AxesSpec
  /** Dtypes of the arguments; the last entry repeats; default f32. 'index' takes i32 and u32. */
  dtypes?: readonly (DType | 'index')[]
  /**
   * Whether a zeroed index of argument i stays zero in the output (exactness of pruning): default 'keeps'. May depend
   * on attributes.
   */
  zero?: readonly Zero[] | ((attrs: A) => readonly Zero[])
  run(...all: [...T, A]): Run
  /** One cotangent per argument, null where `call.needs` is false or no gradient exists. */
  vjp(call: TypedCall<T, A>, cotangent: Tensor): (Tensor | null)[]
  /** Floating-point operations of the forward (a multiply-add counts 2). */
  flops?(args: T, out: Tensor, attrs: A): number
}

/** An op of any signature, as the tape holds it. */
export interface AnyOp {
  readonly name: string
  readonly axes: AxesSpec
  zero(attrs: object): readonly Zero[]
  readonly vjp: Rule
  flops(args: readonly (Tensor | null)[], out: Tensor, attrs: object): number
  /** Runs the op again on other arguments, recorded like any call. */
  call(args: readonly (Tensor | null)[], attrs: object): Tensor
}

/** A callable op: tensors first, then attributes (which may be left out when all of them are optional). */
export type OpFunction<T extends readonly (Tensor | null)[], A extends object> =
  & (object extends A ? (...all: [...T, A?]) => Tensor : (...all: [...T, A]) => Tensor)
  & { readonly op: AnyOp }

/**
 * Defines an op. The function it returns checks dtypes, runs, frees temporaries, and records the call on the active
 * tape.
 */
export function op<T extends readonly (Tensor | null)[], A extends object>(spec: OpSpec<T, A>): OpFunction<T, A> {
  const invoke = (args: readonly (Tensor | null)[], attrs: object): Tensor => {
    check(spec.name, args, spec.dtypes)
    const tape = activeTape()
    const wanted = tape?.wants(args) ?? false
    const { out, ...saved } = scoped(() =>
      named(spec.name, () => {
        const result = spec.run(...[...args, attrs] as unknown as [...T, A])
        const record = result instanceof Tensor ? { out: result } : result
        // An op that has nothing to do may return its argument; a tape needs an output of its own.
        return args.includes(record.out) ? { ...record, out: record.out.view(record.out.shape) } : record
      }), (result) => wanted ? Object.values(result) : [result.out])
    if (wanted) tape!.push(any, args, attrs, out, saved)
    else if (tape === null) onCall?.(any, args, attrs, out)
    return out
  }
  const any: AnyOp = {
    name: spec.name,
    axes: spec.axes,
    zero: (attrs) => typeof spec.zero === 'function' ? spec.zero(attrs as A) : spec.zero ?? [],
    vjp: (call, cotangent) =>
      named(`${spec.name} backward`, () => spec.vjp(call as unknown as TypedCall<T, A>, cotangent)),
    flops: (args, out, attrs) => spec.flops?.(args as unknown as T, out, attrs as A) ?? 0,
    call: invoke,
  }
  const callable = (...all: unknown[]): Tensor => {
    const last = all.at(-1)
    const hasAttrs = typeof last === 'object' && last !== null && !(last instanceof Tensor)
    return invoke((hasAttrs ? all.slice(0, -1) : all) as (Tensor | null)[], (hasAttrs ? last : {}) as object)
  }
  return Object.assign(callable, { op: any }) as unknown as OpFunction<T, A>
}

/**
 * Records a call that a fused launch computed, under the plain op it stands for, so that rules and gates see plain ops
 * only.
 */
export function recordCall(plain: AnyOp, args: readonly (Tensor | null)[], attrs: object, out: Tensor): void {
  const tape = activeTape()
  if (tape?.wants(args)) tape.push(plain, args, attrs, out, {})
  else if (tape === null) onCall?.(plain, args, attrs, out)
}

let onCall: ((op: AnyOp, args: readonly (Tensor | null)[], attrs: object, out: Tensor) => void) | null = null

/** Sees every call made while no tape records: for tools that free inputs after their last use. */
export function watchCalls<R>(watcher: NonNullable<typeof onCall>, work: () => R): R {
  const before = onCall
  onCall = watcher
  try {
    return work()
  } finally {
    onCall = before
  }
}

function check(name: string, args: readonly (Tensor | null)[], dtypes: readonly (DType | 'index')[] = ['f32']) {
  args.forEach((arg, i) => {
    if (arg === null) return
    if (!(arg instanceof Tensor)) {
      throw new ShapeError(
        `${name}: argument ${i + 1} is ${describe(arg)}, expected a tensor; wrap host values in tensor(...)`,
      )
    }
    if (arg.disposed) void arg.buffer
    const expected = dtypes[Math.min(i, dtypes.length - 1)]
    const fits = expected === 'index' ? arg.dtype !== 'f32' : arg.dtype === expected
    if (!fits) {
      throw new DTypeError(
        `${name}: argument ${i + 1} [${arg.shape}] is ${arg.dtype}, expected ${
          expected === 'index' ? 'i32 or u32' : expected
        }`,
      )
    }
  })
}

function describe(value: unknown): string {
  return value === undefined ? 'missing' : Array.isArray(value) ? 'an array' : `a ${typeof value}`
}

// op(): wraps an op's `run`, checks its arguments, frees its temporaries and records the call.
import type { AxesSpec } from './axes.ts'
import { DTypeError, InputError, ShapeError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { named } from './launch.ts'
import type { OnnxCall, OnnxGraph } from './onnx-form.ts'
import { type Role, roles } from './roles.ts'
import { activeTape, type AnyOp, type Call, unrecorded, type ZeroRule } from './tape.ts'
import { type DType, scoped, Tensor } from './tensor.ts'
import { standsAsTensor } from './traits.ts'

/** What `run` returns: the output alone, or with tensors kept for the backward pass. */
export type Run = Tensor | ({ out: Tensor } & Record<string, Tensor>)

/** A call as its op sees it: arguments, attributes and saved tensors with their types. */
export interface TypedCall<T extends readonly unknown[], A> extends Omit<Call, 'args' | 'attrs'> {
  args: T
  attrs: A
}

/** The definition of an op; one file each. Everything others must know of it stands here, nowhere by its name. */
export interface OpSpec<T extends readonly (Tensor | null)[], A extends object> {
  /** In kebab-case: composites, messages and reports name the op so. */
  name: string
  /** The names of its attributes, `{ axis: true }`; default none. Calls with any other are refused. */
  attrs?: OptionKeys<A>
  /** What it is to relevance rules and to pruning; default nothing in particular. */
  roles?: readonly Role[]
  /** Which argument is the weight: what rules by sign change, and what names the layer. */
  weight?: number
  /** Which argument is the bias, which may be null. */
  bias?: number
  /**
   * Arguments that are added to the output (or to logits) and so absorb relevance where nothing asks for it; default
   * the bias, of a sum or concatenation all.
   */
  addends?: readonly number[]
  /** What is added, where that is not the (first) addend as it stands, in the addend's shape or else a scalar. */
  constant?(args: T, attrs: A): Tensor
  /** Which axes are one: `'... c, c, c -> ... c!'`; see axes.ts. A function where reshape-like ops map indices. */
  axes: AxesSpec
  /** Dtypes of the arguments; the last entry repeats; default f32. 'index' takes i32 and u32. */
  dtypes?: readonly (DType | 'index')[]
  /**
   * Whether a zeroed index of argument i stays zero in the output (exactness of pruning): default 'keeps'. `any` says
   * that one zero is enough, as in a product, `all` that all arguments must be zero, as in a sum. May depend on
   * attributes.
   */
  zero?: ZeroRule | ((attrs: A) => ZeroRule)
  /** What it computes; public ops may be called here, and stay unseen: the call is one, whatever it is made of. */
  run(...all: [...T, A]): Run
  /** One cotangent per argument, null where `call.needs` is false or no gradient exists. */
  vjp(call: TypedCall<T, A>, cotangent: Tensor): (Tensor | null)[]
  /** c times f(x) / x in closed form, of ops of one argument: the identity rule, where division loses digits. */
  ratio?(x: Tensor, c: Tensor, attrs: A): Tensor
  /**
   * The same in ONNX nodes (opset 17), for `exportOnnx`: returns the name of the output. Of a packed weight it is given
   * the dense one. Without it a network with this op cannot be exported.
   */
  onnx?(call: OnnxCall<T, A>, graph: OnnxGraph): string
  /** Multiply-adds of products, as published counts have them; default 0. */
  macs?(args: T, out: Tensor, attrs: A): number
  /** Floating-point operations of the forward; default two for each multiply-add. */
  flops?(args: T, out: Tensor, attrs: A): number
}

/** A callable op: tensors first, then attributes (which may be left out when all of them are optional). */
export type OpFunction<T extends readonly (Tensor | null)[], A extends object> =
  & (object extends A ? (...all: [...T, A?]) => Tensor : (...all: [...T, A]) => Tensor)
  & { readonly op: AnyOp }

/**
 * Defines an op. The function it returns checks dtypes, runs, frees temporaries, and records the call on the active
 * tape.
 * @throws InputError for a name that is not kebab-case or is another op's, a role that does not exist, or a layer that
 * does not say which argument is its weight.
 */
export function op<T extends readonly (Tensor | null)[], A extends object>(spec: OpSpec<T, A>): OpFunction<T, A> {
  checkName(spec.name)
  const invoke = (args: readonly (Tensor | null)[], attrs: object): Tensor => {
    check(spec.name, args, spec.dtypes)
    const tape = activeTape()
    const wanted = tape?.wants(args) ?? false
    const { out, ...saved } = scoped(() =>
      named(spec.name, () => {
        const result = unseen(() => spec.run(...[...args, attrs] as unknown as [...T, A]))
        const record = result instanceof Tensor ? { out: result } : result
        // An op that has nothing to do may return its argument; a tape needs an output of its own.
        return args.includes(record.out) ? { ...record, out: record.out.view(record.out.shape) } : record
      }), (result) => wanted ? Object.values(result) : [result.out])
    tape?.watch(args, out)
    if (wanted) tape!.push(any, args, attrs, out, saved)
    else if (tape === null) onCall?.(any, args, attrs, out)
    return out
  }
  const own = rolesOf(spec), known: Readonly<Record<string, true>> = spec.attrs ?? {}
  const macs: AnyOp['macs'] = (args, out, attrs) => spec.macs?.(args as unknown as T, out, attrs as A) ?? 0
  const any: AnyOp = {
    name: spec.name,
    roles: own,
    weight: spec.weight ?? null,
    bias: spec.bias ?? null,
    axes: spec.axes,
    is: (role) => own.includes(role),
    addends(args) {
      if (spec.addends) return spec.addends
      return any.is('sum') || any.is('concat') ? args.map((_, i) => i) : spec.bias === undefined ? [] : [spec.bias]
    },
    constant: (args, attrs) => spec.constant?.(args as unknown as T, attrs as A) ?? null,
    zero: (attrs) => typeof spec.zero === 'function' ? spec.zero(attrs as A) : spec.zero ?? [],
    vjp: (call, cotangent) =>
      named(`${spec.name} backward`, () => spec.vjp(call as unknown as TypedCall<T, A>, cotangent)),
    ratio: (x, c, attrs) => spec.ratio?.(x, c, attrs as A) ?? null,
    onnx: (args, attrs, out, graph) =>
      spec.onnx?.({ args: args as OnnxCall<T, A>['args'], attrs: attrs as A, out }, graph) ?? null,
    macs,
    flops: (args, out, attrs) => spec.flops?.(args as unknown as T, out, attrs as A) ?? 2 * macs(args, out, attrs),
    call: invoke,
  }
  defined.add(spec.name)
  const callable = (...all: unknown[]): Tensor => {
    const last = all.at(-1)
    const hasAttrs = typeof last === 'object' && last !== null && !(last instanceof Tensor) && !standsAsTensor(last)
    if (hasAttrs) checkOptions(spec.name, last, known)
    return invoke((hasAttrs ? all.slice(0, -1) : all) as (Tensor | null)[], (hasAttrs ? last : {}) as object)
  }
  return Object.assign(callable, { op: any }) as unknown as OpFunction<T, A>
}

const defined = new Set<string>()

/** Composites and reports know an op by its name alone. A fused launch joins the names of its ops with a plus. */
function checkName(name: string): void {
  if (!/^[a-z0-9]+([-+][a-z0-9]+)*$/.test(name)) {
    throw new InputError(`op ${quoted(name)}: expected a name in kebab-case, e.g. 'sparse-linear'`)
  }
  if (defined.has(name)) throw new InputError(`op '${name}': there is one already; give it a name of its own`)
}

/** The names of all ops defined so far: ours once `ops/index.ts` is imported, and those of `op()` elsewhere. */
export function opNames(): readonly string[] {
  return [...defined].sort()
}

/** @throws InputError for a role that does not exist, or a layer that does not say which argument is its weight. */
function rolesOf({ name, roles: own = [], weight }: { name: string, roles?: readonly Role[], weight?: number }) {
  const odd = own.find((role) => !roles.includes(role))
  if (odd !== undefined) throw new InputError(`${name}: no role '${String(odd)}'; expected ${roles.join(', ')}`)
  if (weight === undefined && (own.includes('convolution') || own.includes('dense'))) {
    throw new InputError(`${name}: a ${own.join(', ')} op must say which argument is its weight (weight: 1)`)
  }
  return own
}

/**
 * Records a call that a fused launch computed, under the plain op it stands for, so that rules and gates see plain ops
 * only.
 */
export function recordCall(plain: AnyOp, args: readonly (Tensor | null)[], attrs: object, out: Tensor): void {
  const tape = activeTape()
  tape?.watch(args, out)
  if (tape?.wants(args)) tape.push(plain, args, attrs, out, {})
  else if (tape === null) onCall?.(plain, args, attrs, out)
}

let onCall: ((op: AnyOp, args: readonly (Tensor | null)[], attrs: object, out: Tensor) => void) | null = null

/** Runs what a call is made of, hidden from tapes and watchers, which see the call itself. */
function unseen<R>(work: () => R): R {
  const watcher = onCall
  onCall = null
  try {
    return unrecorded(work)
  } finally {
    onCall = watcher
  }
}

/** Whether a tool sees the calls that are made now. */
export const isWatched = (): boolean => onCall !== null

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
        `${name}: argument ${i + 1} is ${describe(arg)}, expected a tensor; ${cureFor(arg)}`,
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
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return 'an array'
  if (isPacked(value)) return `a packed weight [${value.shape}]`
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

const isPacked = (value: unknown): value is { readonly shape: readonly number[] } =>
  typeof value === 'object' && value !== null && standsAsTensor(value)

const cureFor = (value: unknown): string =>
  isPacked(value)
    ? 'it stands where layers multiply by a weight (applied, Linear, Conv2d); densify(model) makes tensors of them. '
      + 'Of a file that was loaded: it is damaged, or of another class'
    : 'wrap host values in tensor(...)'

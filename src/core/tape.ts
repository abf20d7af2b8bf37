// The tape is data: a list of calls. Going back is one function, for gradients and for relevance alike.
import type { AxesSpec } from './axes.ts'
import { accumulate } from './accumulate.ts'
import type { OnnxGraph, OnnxSize, OnnxValue } from './onnx-form.ts'
import type { Role } from './roles.ts'
import { scoped, Tensor } from './tensor.ts'

/** What an op makes of an index whose entries are all zero in one argument. */
export type Zero = 'keeps' | 'breaks'

/** The same by argument; or `any`: zero where one argument is (a product); or `all`: only where all are (a sum). */
export type ZeroRule = readonly Zero[] | 'any' | 'all'

/** An op of any signature, as the tape holds it; what the fields mean stands at `OpSpec`. */
export interface AnyOp {
  readonly name: string
  readonly roles: readonly Role[]
  readonly weight: number | null
  readonly bias: number | null
  readonly axes: AxesSpec
  is(role: Role): boolean
  addends(args: readonly (Tensor | null)[]): readonly number[]
  /** Null where the addend is the argument as it stands. */
  constant(args: readonly (Tensor | null)[], attrs: object): Tensor | null
  zero(attrs: object): ZeroRule
  readonly vjp: Rule
  /** Null where f(x) / x has no closed form. */
  ratio(x: Tensor, c: Tensor, attrs: object): Tensor | null
  /** The name of the output that its ONNX nodes make; null where it has no such form. */
  onnx(
    args: readonly (OnnxValue | null)[],
    attrs: object,
    out: readonly OnnxSize[],
    graph: OnnxGraph,
  ): string | null
  macs(args: readonly (Tensor | null)[], out: Tensor, attrs: object): number
  flops(args: readonly (Tensor | null)[], out: Tensor, attrs: object): number
  /** Runs the op again on other arguments, recorded like any call. */
  call(args: readonly (Tensor | null)[], attrs: object): Tensor
}

/**
 * One recorded call of an op. `saved` is what the forward kept for the backward; `detached` holds statistics constant
 * (LRP).
 */
export interface Call {
  op: AnyOp
  args: readonly (Tensor | null)[]
  attrs: object
  out: Tensor
  saved: Readonly<Record<string, Tensor>>
  needs: readonly boolean[]
  detached: boolean
}

/**
 * How a cotangent (or relevance coefficient) goes back through a call: one tensor per argument, null where none is due.
 */
export type Rule = (call: Call, cotangent: Tensor) => (Tensor | null)[]

/** A tape under recording. Calls that touch no tracked tensor are left out, unless `all` is set. */
export class Tape {
  readonly calls: Call[] = []
  /** Whether a call read what the tape around this one follows: that one does not learn of it. */
  hidesFromOuter = false
  private readonly tracked: Set<Tensor>
  private readonly all: boolean
  private readonly outer: Tape | null

  constructor(tracked: Iterable<Tensor>, all = false, outer: Tape | null = null) {
    this.tracked = new Set(tracked)
    this.all = all
    this.outer = outer
  }

  /** Follows a result for the tape around this one, which records nothing meanwhile. */
  watch(args: readonly (Tensor | null)[], out: Tensor): void {
    if (this.outer === null || !args.some((arg) => arg !== null && this.outer!.follows(arg))) return
    this.hidesFromOuter = true
    this.outer.tracked.add(out)
  }

  private follows(tensor: Tensor): boolean {
    return this.tracked.has(tensor) || (this.outer?.follows(tensor) ?? false)
  }

  /** Whether a call with these arguments would be recorded, so that its saved tensors are needed. */
  wants(args: readonly (Tensor | null)[]): boolean {
    return this.all || args.some((arg) => arg !== null && this.tracked.has(arg))
  }

  /** Appends a call and tracks its output. */
  push(
    op: AnyOp,
    args: readonly (Tensor | null)[],
    attrs: object,
    out: Tensor,
    saved: Readonly<Record<string, Tensor>>,
  ): void {
    const needs = args.map((arg) => arg !== null && this.tracked.has(arg))
    if (needs.includes(true)) this.tracked.add(out)
    this.calls.push({ op, args, attrs, out, saved, needs, detached: false })
  }
}

let active: Tape | null = null

/** The tape that is recording, or null. */
export function activeTape(): Tape | null {
  return active
}

/**
 * Records the calls of `work` that depend on `tracked` (all calls if `all`). Tapes nest: the inner one records alone,
 * and says whether the outer one would have followed what it saw.
 */
export function record<R>(
  work: () => R,
  tracked: Iterable<Tensor>,
  all = false,
): { result: R, calls: Call[], hidesFromOuter: boolean } {
  const tape = new Tape(tracked, all, active)
  const result = onTape(tape, work)
  return { result, calls: tape.calls, hidesFromOuter: tape.hidesFromOuter }
}

/** Runs `work` unrecorded: the backward pass itself, metrics, random counters. */
export function unrecorded<R>(work: () => R): R {
  return onTape(null, work)
}

function onTape<R>(tape: Tape | null, work: () => R): R {
  const before = active
  active = tape
  try {
    return work()
  } finally {
    active = before
  }
}

/** Options of `pullback`. */
export interface PullbackOptions {
  /** The rule for a call; default its op's vjp. */
  ruleFor?: (call: Call) => Rule
  /** Cotangents to keep (leaves, gate activations); default: those of tensors no recorded call made. */
  wanted?: Iterable<Tensor>
  /**
   * Frees outputs and saved tensors as the walk passes them, except these. Without it everything stays for another
   * walk.
   */
  releaseExcept?: ReadonlySet<Tensor>
}

/**
 * Walks a tape back from one or more outputs. `seeds` are pairs [output, cotangent of its shape]; they stay the
 * caller's. Returns the cotangent of every wanted tensor that the outputs depend on.
 */
export function pullback(
  calls: readonly Call[],
  seeds: Iterable<readonly [Tensor, Tensor]>,
  options: PullbackOptions = {},
): Map<Tensor, Tensor> {
  const { ruleFor = defaultRule, releaseExcept } = options
  const made = new Set(calls.map((call) => call.out))
  const wanted = options.wanted ? new Set(options.wanted) : null
  const keep = (tensor: Tensor) => wanted ? wanted.has(tensor) : !made.has(tensor)
  const cotangents = new Map<Tensor, Tensor>()
  return unrecorded(() => {
    for (const [out, seed] of seeds) accumulate(cotangents, out, seed.view(seed.shape))
    for (const call of calls.toReversed()) {
      const cotangent = cotangents.get(call.out)
      if (cotangent) {
        goBack(ruleFor(call), call, cotangent, cotangents)
        if (!keep(call.out)) {
          cotangents.delete(call.out)
          cotangent.dispose()
        }
      }
      if (releaseExcept) release(call, releaseExcept)
    }
    for (const [tensor, cotangent] of cotangents) {
      if (keep(tensor)) continue
      cotangents.delete(tensor)
      cotangent.dispose()
    }
    return cotangents
  })
}

const defaultRule = (call: Call): Rule => call.op.vjp

/**
 * Runs one rule. What it returns may be the cotangent itself or a tensor of the call: those are shared, not handed
 * over.
 */
function goBack(rule: Rule, call: Call, cotangent: Tensor, cotangents: Map<Tensor, Tensor>) {
  const parts = scoped(() => {
    const before = new Set<Tensor>([
      cotangent,
      call.out,
      ...Object.values(call.saved),
      ...call.args.filter((arg) => arg !== null),
    ])
    const handed = new Set<Tensor>()
    return rule(call, cotangent).map((part, i) => {
      if (!part || !call.needs[i]) return null
      if (!before.has(part) && !handed.has(part)) {
        handed.add(part)
        return part
      }
      return part.view(part.shape)
    })
  }, (kept) => kept.filter((part) => part !== null))
  parts.forEach((part, i) => {
    if (part) accumulate(cotangents, call.args[i]!, part)
  })
}

function release(call: Call, except: ReadonlySet<Tensor>) {
  for (const saved of Object.values(call.saved)) if (!except.has(saved)) saved.dispose()
  if (!except.has(call.out)) call.out.dispose()
}

// What a leaf is stands beside it, in its class: whether training changes it, weight decay shrinks it, a file holds it,
// and what it is for. Nothing is guessed from the names of fields, so a user's own names do as well as ours.

/**
 * What a tensor is for. `weight` (the default), `query`, `key`, `value` (projections with two axes of outputs, heads
 * and channels), `projection` (attention's way out), `classifier`, `positions` and `token` (learned inputs) get start
 * values; `bias`, `gain` and `mask` keep those they are made with. `positions`, `token` and `mask` say nothing of how
 * large a unit's weights are.
 */
export type LeafRole =
  | 'weight'
  | 'query'
  | 'key'
  | 'value'
  | 'projection'
  | 'classifier'
  | 'positions'
  | 'token'
  | 'bias'
  | 'gain'
  | 'mask'

/** What a class says of one of its fields; on a field that is no tensor it holds for everything below. */
export interface LeafTraits {
  /** Whether training changes it (default true; false for running statistics and tables). */
  trained?: boolean
  /**
   * Whether weight decay applies. Default: matrices and kernels decay; vectors, and `positions`, `token`, `bias`,
   * `gain` and `mask` of any shape, do not.
   */
  decayed?: boolean
  /** Whether a checkpoint holds it (default true; `asked`: only where asked for; false: it follows from sizes). */
  saved?: boolean | 'asked'
  role?: LeafRole
  /**
   * Its first axis is a square grid of places, row by row, behind one entry for each `token` of the same object; for
   * images of another size it is resampled.
   */
  grid?: boolean
  /**
   * The path of the weight that it is a part of, where an object stands for a tensor (`asTensor`). The walk says it, no
   * class.
   */
  partOf?: string
}

/** A class that says what its fields are: `static readonly leaves = { mean: { trained: false } }`. */
export interface DeclaresLeaves {
  readonly leaves?: Readonly<Record<string, LeafTraits>>
  /** Its objects stand where layers have a tensor, so their parts go by its path: a packed weight. */
  readonly asTensor?: boolean
}

/** Whether an object stands where a layer has a tensor. */
export const standsAsTensor = (owner: object): owner is { readonly shape: readonly number[] } =>
  (owner.constructor as DeclaresLeaves | undefined)?.asTensor === true

const undecayed: ReadonlySet<LeafRole> = new Set(['positions', 'token', 'bias', 'gain', 'mask'])
const started: ReadonlySet<LeafRole> = new Set([
  'weight',
  'query',
  'key',
  'value',
  'projection',
  'classifier',
  'positions',
  'token',
])
const unsized: ReadonlySet<LeafRole> = new Set(['positions', 'token', 'mask'])

/** Whether weight decay applies to a leaf: what its class says, else by its role and shape. */
export const isDecayed = ({ decayed, role = 'weight' }: LeafTraits, { shape }: { shape: readonly number[] }): boolean =>
  decayed ?? (shape.length > 1 && !undecayed.has(role))

/** Whether a leaf gets random start values: matrices and kernels, and learned inputs; packed weights keep theirs. */
export const isStarted = (
  { role = 'weight', partOf }: LeafTraits,
  { shape }: { shape: readonly number[] },
): boolean => partOf === undefined && shape.length > 1 && started.has(role)

/** Whether the size of a leaf's values says how much a unit weighs. */
export const isMeasured = ({ role = 'weight' }: LeafTraits, { shape }: { shape: readonly number[] }): boolean =>
  shape.length > 1 && !unsized.has(role)

const declared = new WeakMap<object, Readonly<Record<string, LeafTraits>>>()
const none: Readonly<Record<string, LeafTraits>> = {}

/** What the class of an object, and the classes it extends, say of its fields. */
export function declarationsOf(owner: object): Readonly<Record<string, LeafTraits>> {
  const made = owner.constructor as (DeclaresLeaves & object) | undefined
  if (typeof made !== 'function') return none
  let found = declared.get(made)
  if (!found) {
    const chain: Record<string, LeafTraits>[] = []
    for (
      let at: object | null = made;
      at && at !== Function.prototype;
      at = Object.getPrototypeOf(at) as object | null
    ) {
      if (Object.hasOwn(at, 'leaves')) chain.unshift((at as { leaves: Record<string, LeafTraits> }).leaves)
    }
    declared.set(made, found = chain.length ? Object.assign({}, ...chain) as Record<string, LeafTraits> : none)
  }
  return found
}

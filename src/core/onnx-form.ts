// What an op says of itself to an exporter: which ONNX nodes compute the same. Only names and sizes here; the format
// itself is src/onnx's.

/** A size of an axis: a number, or so many times the batch where that is left open. */
export type OnnxSize = number | { readonly batch: number }

/** A value of the graph: its name, and its shape. */
export interface OnnxValue {
  readonly name: string
  readonly shape: readonly OnnxSize[]
}

/** A node's attribute: whole numbers, text, or `{ float }`, since 1 may be either. */
export type OnnxAttribute = number | readonly number[] | string | { readonly float: number }

/** The graph under construction. Values go by name; what a method makes is named by it. */
export interface OnnxGraph {
  /** Adds a node (opset 17) and returns the name of its output; null stands for an input that is left out. */
  node(
    type: string,
    inputs: readonly (string | OnnxValue | null)[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
  ): string
  /** A constant of floats: a scalar, or of this shape. */
  floats(values: number | ArrayLike<number>, shape?: readonly number[]): string
  /** A constant of whole numbers, one axis. */
  wholes(values: readonly number[]): string
  /** x under another shape of the same size, of which one size may be open. */
  reshape(x: string | OnnxValue, shape: readonly OnnxSize[]): string
}

/** A call as its op sees it: arguments as values of the graph, attributes, the shape of the output. */
export interface OnnxCall<T extends readonly unknown[], A> {
  args: { [K in keyof T]: OnnxValue | Extract<T[K], null> }
  attrs: A
  out: readonly OnnxSize[]
}

/** The number of elements: at most one size may be open. */
export function onnxProduct(sizes: readonly OnnxSize[]): OnnxSize {
  const count = sizes.reduce<number>((product, n) => product * (typeof n === 'number' ? n : n.batch), 1)
  return sizes.some((n) => typeof n !== 'number') ? { batch: count } : count
}

/** Whether two sizes are the same. */
export const sameSize = (a: OnnxSize, b: OnnxSize): boolean =>
  typeof a === 'number' || typeof b === 'number' ? a === b : a.batch === b.batch

/** The order that swaps the last two of so many axes. */
export const lastTwoSwapped = (rank: number): number[] => [
  ...Array.from({ length: rank - 2 }, (_, axis) => axis),
  rank - 1,
  rank - 2,
]

/** A shape whose sizes are all known. Where an op needs numbers (windows, tables), the batch is none of them. */
export const knownSizes = (shape: readonly OnnxSize[]): number[] => shape.map((n) => typeof n === 'number' ? n : NaN)

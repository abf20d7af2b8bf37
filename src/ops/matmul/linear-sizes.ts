// What linear maps of every kind have in common: which axes are one, and how their arguments must fit.
import { type OnnxGraph, onnxProduct, type OnnxSize, type OnnxValue } from '../../core/onnx-form.ts'
import { sizeOf } from '../../base/shape.ts'
import { ShapeError } from '../../base/errors.ts'
import { linksOf, type Mapping } from '../../core/axes.ts'
import type { Tensor } from '../../core/tensor.ts'

/** How many trailing axes of x and of the weight are contracted; default 1. */
export interface LinearOptions {
  over?: number
}

/** `'... i j, o p i j, o p -> ... o p'` for a weight of this rank. */
export function notation(rank: number, over: number): string {
  const letters = 'abcdefghijklm'.slice(0, rank).split('')
  const o = letters.slice(0, rank - over).join(' '), c = letters.slice(rank - over).join(' ')
  return `... ${c}, ${o} ${c}, ${o} -> ... ${o}`
}

/**
 * y = x W^T + b in ONNX nodes: Gemm for plain matrices, else MatMul. The weight stays as it is stored; runtimes turn it
 * once, when they load the file.
 */
export function onnxLinear(
  graph: OnnxGraph,
  x: OnnxValue,
  weight: OnnxValue,
  bias: OnnxValue | null,
  over: number,
  out: readonly OnnxSize[],
): string {
  const outputs = weight.shape.slice(0, -over), inputs = weight.shape.slice(-over), lead = x.shape.slice(0, -over)
  const flat = (value: OnnxValue, shape: readonly OnnxSize[]) =>
    value.shape.length === shape.length ? value.name : graph.reshape(value, shape)
  const N = onnxProduct(outputs), K = onnxProduct(inputs)
  const matrix = flat(weight, [N, K]), rows = flat(x, [...lead, K]), b = bias && flat(bias, [N])
  const y = lead.length === 1
    ? graph.node('Gemm', b === null ? [rows, matrix] : [rows, matrix, b], { transB: 1 })
    : plus(graph, graph.node('MatMul', [rows, graph.node('Transpose', [matrix], { perm: [1, 0] })]), b)
  return outputs.length === 1 ? y : graph.reshape(y, out)
}

const plus = (graph: OnnxGraph, y: string, bias: string | null) => bias === null ? y : graph.node('Add', [y, bias])

/** The axes of a linear map whose weight has a mask of its shape behind it. */
export function maskedAxes(
  shapes: readonly (readonly number[] | null)[],
  out: readonly number[],
  { over = 1 }: LinearOptions,
): Mapping {
  const weight = notation(shapes[1]!.length, over).split(/, | -> /)
  return linksOf(`${weight[0]}, ${weight[1]}, ${weight[1]}, ${weight[2]} -> ${weight[3]}`, shapes, out, {})
}

/**
 * Rows, inputs and outputs of a linear map, and the shape of its output. @throws ShapeError if something does not fit.
 */
export function linearSizes(name: string, x: Tensor, weight: Tensor, bias: Tensor | null, over: number) {
  if (!Number.isInteger(over) || over < 1 || over >= weight.shape.length || over > x.shape.length) {
    throw new ShapeError(
      `${name}: cannot contract ${over} axes of x [${x.shape}] and weight [${weight.shape}]; `
        + 'the weight needs output axes before the contracted ones',
    )
  }
  const left = x.shape.slice(-over), right = weight.shape.slice(-over), out = weight.shape.slice(0, -over)
  if (left.join() !== right.join()) {
    throw new ShapeError(
      `${name}: x [${x.shape}] does not contract with weight [${weight.shape}] over ${over} ${
        over === 1 ? 'axis' : 'axes'
      }; `
        + `expected x to end in [${right}], got [${left}]`,
    )
  }
  if (bias && bias.shape.join() !== out.join()) {
    throw new ShapeError(`${name}: bias [${bias.shape}] does not fit weight [${weight.shape}]; expected [${out}]`)
  }
  const leading = x.shape.slice(0, -over)
  return { rows: sizeOf(leading), inputs: sizeOf(right), outputs: sizeOf(out), shape: [...leading, ...out] }
}

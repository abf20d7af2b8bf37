// The graph while it grows: nodes and constants, each constant once, with names that no other value has.
import { InputError } from '../base/errors.ts'
import type { OnnxAttribute, OnnxGraph, OnnxSize, OnnxValue } from '../core/onnx-form.ts'
import type { OnnxNode, OnnxTensor } from './encode.ts'

const nameOf = (value: string | OnnxValue | null): string =>
  value === null ? '' : typeof value === 'string' ? value : value.name

/** Collects what ops say of themselves. Names of its own begin with '/', which no path of a tensor does. */
export class GraphBuilder implements OnnxGraph {
  readonly nodes: OnnxNode[] = []
  readonly tensors: OnnxTensor[] = []
  /** Where the next nodes come from: the call's number and op. */
  place = ''
  private readonly taken = new Set<string>()
  private readonly constants = new Map<string, string>()
  /** The name of the batch's size, once someone asked. */
  private batchSize: string | null = null
  private readonly input: OnnxValue

  constructor(input: OnnxValue) {
    this.input = input
    this.taken.add(input.name)
  }

  node(
    type: string,
    inputs: readonly (string | OnnxValue | null)[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
  ): string {
    const names = inputs.map(nameOf)
    while (names.at(-1) === '') names.pop()
    const name = this.unique(`/${this.place}/${type}`)
    this.nodes.push({ type, name, inputs: names, outputs: [name], attributes })
    return name
  }

  floats(values: number | ArrayLike<number>, shape: readonly number[] = []): string {
    const data = typeof values === 'number' ? Float32Array.of(values) : Float32Array.from(values)
    return this.constant(shape, data)
  }

  wholes(values: readonly number[]): string {
    return this.constant([values.length], BigInt64Array.from(values, BigInt))
  }

  reshape(x: string | OnnxValue, shape: readonly OnnxSize[]): string {
    const sizes = shape.map((n) => typeof n === 'number' ? n : -1)
    if (sizes.filter((n) => n === -1).length > 1) {
      throw new InputError(`${this.place}: more than one axis grows with the batch; export it with a fixed batch`)
    }
    return this.node('Reshape', [x, this.wholes(sizes)])
  }

  /** A tensor of the file under a name of the caller's. */
  keep(name: string, shape: readonly number[], data: OnnxTensor['data']): string {
    const own = this.unique(name)
    this.tensors.push({ name: own, shape, data })
    return own
  }

  /** x, whose size 1 stands for every entry of an open axis, repeated along it. */
  expanded(x: string, shape: readonly OnnxSize[]): string {
    this.batchSize ??= this.node('Shape', [this.input], { start: 0, end: 1 })
    const sizes = shape.map((n) =>
      typeof n === 'number' ? this.wholes([n]) : this.node('Mul', [this.batchSize, this.wholes([n.batch])])
    )
    return this.node('Expand', [x, this.node('Concat', sizes, { axis: 0 })])
  }

  private constant(shape: readonly number[], data: Float32Array | BigInt64Array): string {
    const small = data.length <= 64, key = small ? `${data.constructor.name} ${shape} = ${data}` : ''
    const known = small ? this.constants.get(key) : undefined
    if (known !== undefined) return known
    const name = this.keep(`/constant/${this.constants.size}`, shape, data)
    this.constants.set(small ? key : name, name)
    return name
  }

  private unique(wanted: string): string {
    let name = wanted
    for (let number = 2; this.taken.has(name); number++) name = `${wanted}_${number}`
    this.taken.add(name)
    return name
  }
}

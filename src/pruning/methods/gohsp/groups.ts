// Which slices of which weights go with an element: the groups that ADMM drives to zero together. A head is its rows of
// query, key and value with their biases and its columns of the way out; a neuron its row of the first layer with its
// bias and its column of the second.
import { InputError } from '../../../base/errors.ts'
import { isDecayed } from '../../../core/traits.ts'
import { describedLeaves } from '../../../core/tree.ts'
import type { Tensor } from '../../../core/tensor.ts'
import type { Unit } from '../../units/units.ts'

/** A weight whose slices along `axis` belong to elements. */
export interface Member {
  path: string
  weight: Tensor
  axis: number
  /** The element of each index; -1 for none. */
  element: readonly number[]
}

/** A unit with the weights that are constrained by it. */
export interface Group {
  unit: Unit
  members: readonly Member[]
}

/**
 * The groups of units: matrices, kernels and biases. Tables and gains that go along in the cut (relative positions of
 * Swin) are of no use without those and are left alone.
 * @throws InputError for units over two axes, and where a weight has slices of two units.
 */
export function groupsOf(model: unknown, units: readonly Unit[]): Group[] {
  const leaves = new Map(describedLeaves(model).map(([path, leaf, traits]) => [path, { leaf, traits }]))
  const owners = new Map<string, string>()
  return units.map((unit) => {
    if (unit.shape.length > 1) {
      throw new InputError(`gohsp: ${unit.name} has heads and channels; it prunes whole ones, choose heads,neurons`)
    }
    const members = unit.members.flatMap(({ path, axis, element }): Member[] => {
      const { leaf, traits } = leaves.get(path)!
      if (!isDecayed(traits, leaf) && traits.role !== 'bias' && leaf.shape.length > 1) return []
      if (traits.role === 'gain') return []
      const other = owners.get(path)
      if (other !== undefined) {
        throw new InputError(
          `gohsp: ${path} has slices of ${other} and of ${unit.name}, which it would pull both ways; `
            + 'choose units that share no weight, such as heads,neurons of a transformer',
        )
      }
      owners.set(path, unit.name)
      return [{ path, weight: leaf, axis, element }]
    })
    return { unit, members }
  })
}

/** Flags of elements as a mask that broadcasts over a weight: its values, and its shape. */
export function maskOf(member: Member, keep: Uint8Array): { values: Float32Array, shape: number[] } {
  const values = Float32Array.from(member.element, (each) => each < 0 ? 1 : keep[each])
  return { values, shape: maskShapeOf(member) }
}

/** The shape of such a mask. */
export const maskShapeOf = ({ weight, axis }: Member): number[] =>
  weight.shape.map((size, at) => at === axis ? size : 1)

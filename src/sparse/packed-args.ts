// The tensors of a packed weight as arguments of an op, which a tape can see, and back from there.
import type { Tensor } from '../core/tensor.ts'
import { listNames, type Packing } from './packing.ts'
import type { PackedTensors } from './product.ts'
import type { SparseWeight } from './weight.ts'

/** x, values, bias, then the tensors of the pattern's index and of the lists. */
export type PackedArgs = [x: Tensor, values: Tensor, bias: Tensor | null, ...places: Tensor[]]

/** The arguments of an op on x with a packed weight. */
export const packedArgs = (
  x: Tensor,
  { values, index, lists, packing }: SparseWeight,
  bias: Tensor | null,
): PackedArgs => [
  x,
  values,
  bias,
  ...packing.pattern.walk.index.map((name) => index[name]),
  ...listNames.map((name) => lists[name]),
]

/** The weight's tensors among them, by name. */
export const packedTensors = ([, values, , ...places]: PackedArgs, { pattern: { walk } }: Packing): PackedTensors => ({
  values,
  index: Object.fromEntries(walk.index.map((name, i) => [name, places[i]])),
  lists: Object.fromEntries(listNames.map((name, i) => [name, places[walk.index.length + i]])),
})

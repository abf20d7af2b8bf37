// Sums of cotangents on the way back: in place where nobody else looks at the buffer.
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from './launch.ts'
import { empty, type Tensor } from './tensor.ts'

const sum = kernel('accumulate.wgsl', { buffers: ['x', 'y', 'out'], params: ['size'], entry: 'add' })
const into = kernel('accumulate.wgsl', { buffers: ['x', 'out'], params: ['size'], entry: 'add_into' })

/** Adds `part` to the cotangent of `target`, taking `part` over. Both have the shape of `target`. */
export function accumulate(cotangents: Map<Tensor, Tensor>, target: Tensor, part: Tensor): void {
  const present = cotangents.get(target)
  if (!present) {
    cotangents.set(target, part)
    return
  }
  const { size } = target
  const groups = grid(Math.ceil(size / 256))
  if (present.exclusive) {
    launch(into, { x: part, out: present }, { size }, groups)
    part.dispose()
  } else if (part.exclusive) {
    launch(into, { x: present, out: part }, { size }, groups)
    cotangents.set(target, part)
    present.dispose()
  } else {
    const out = empty(target.shape)
    launch(sum, { x: present, y: part, out }, { size }, groups)
    cotangents.set(target, out)
    present.dispose()
    part.dispose()
  }
}

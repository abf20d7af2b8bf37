import { Gate } from './gate.ts'
import { Tensor } from '../core/tensor.ts'

/** Every gate of a model with its path, in field order. */
export function gatesOf(model: unknown, path = ''): [path: string, gate: Gate][] {
  if (model instanceof Gate) return [[path, model]]
  if (typeof model !== 'object' || model === null || model instanceof Tensor || ArrayBuffer.isView(model)) return []
  return Object.entries(model).flatMap(([name, child]) => gatesOf(child, path ? `${path}.${name}` : name))
}

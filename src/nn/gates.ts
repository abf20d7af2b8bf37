import { nodes } from '../core/tree.ts'
import { Gate } from './gate.ts'

/** Every gate of a model with its path, in field order. */
export function gatesOf(model: unknown): [path: string, gate: Gate][] {
  const found: [string, Gate][] = []
  for (const { path, value } of nodes(model)) if (value instanceof Gate) found.push([path, value])
  return found
}

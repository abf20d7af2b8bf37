// What of a network is packed in a sparsity pattern, for people and for programs.
import { sizeOf } from '../base/shape.ts'
import type { Model } from '../nn/model.ts'
import { sparseWeights } from '../sparse/sparsify.ts'
import { large, percent, table } from './model.ts'

/** One packed weight. */
export interface PackedRow {
  name: string
  pattern: string
  shape: readonly number[]
  tile: readonly [number, number]
  /** Entries that are stored, and as a share of all. */
  kept: number
  density: number
  /** Of values and index in memory. */
  bytes: number
}

/** Every packed weight of a model. */
export const packedTable = (model: Model): PackedRow[] =>
  sparseWeights(model).map(([name, { shape, kept, bytes, packing: { pattern, tile, shape: [rows, columns] } }]) => ({
    name,
    pattern: pattern.name,
    shape,
    tile,
    kept,
    density: kept / (rows * columns),
    bytes,
  }))

/** One line of all of them. */
export function packedText(rows: readonly PackedRow[]): string {
  const kept = rows.reduce((sum, row) => sum + row.kept, 0)
  const all = rows.reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0)
  const names = [...new Set(rows.map(({ pattern }) => pattern))].join(', ')
  return `${rows.length} weights packed as ${names}: ${large(kept)} of their entries stored (${
    percent(kept / all, 1)
  }), ${large(bytes)}B with index`
}

/** A line for each. */
export const packedRows = (rows: readonly PackedRow[]): string =>
  table(
    ['packed weight', 'pattern', 'shape', 'density', 'kept', 'bytes'],
    rows.map(({ name, pattern, shape, density, kept, bytes }) => [
      name,
      pattern,
      `[${shape}]`,
      percent(density, 1),
      large(kept),
      large(bytes),
    ]),
  )

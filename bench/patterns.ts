// `bench patterns`: from which density on is a sparse layer faster than the dense one, and than one sliced to as many
// operations? The layers of ViT at several batch sizes, every density, the patterns of a case in turns.
import { disposeTree } from '../src/core/tree.ts'
import { InputError } from '../src/base/errors.ts'
import type { Pattern } from '../src/sparse/pattern.ts'
import { patternOf } from '../src/sparse/registry.ts'
import type { Tile } from '../src/sparse/tiles.ts'
import type { CaseMaker, Row } from './harness.ts'
import { layerData, type LayerData, sparseCase, type SparseOp, sparseOps } from './kernels/sparse.ts'
import type { BreakEvenRow } from './schema.ts'
import { type LinearShape, vitLayers } from './shapes.ts'
import { breakEven, type DensityTimes } from './statistics.ts'

/** Which patterns, densities and layers. */
export interface PatternOptions {
  patterns?: readonly Pattern[]
  densities?: readonly number[]
  batches: readonly number[]
  /** Keeps cases by their name, `vit-b proj b8 forward`; without it the projection of ViT-Base alone is measured. */
  only?: readonly string[]
  /** One density and the smallest layer. */
  quick?: boolean
}

/** Densities where nothing else is asked for. */
export const defaultDensities: readonly number[] = [1, 0.75, 0.5, 0.25, 0.1, 0.05]

/** Patterns where nothing else is asked for. */
export const defaultPatterns = ['block:32x32', 'block:16x16', 'unstructured', 'nm:2:4'] as const

/**
 * Cases by layer, op and density. A pattern without a choice of densities (2:4) stands in the case of its own.
 * @throws InputError for a pattern that no layer asked for can have.
 */
export function patternCases(options: PatternOptions): CaseMaker[] {
  const { only, quick, batches } = options
  const patterns = options.patterns ?? (quick ? ['block:16x16'] : defaultPatterns).map(patternOf)
  const wanted = options.densities ?? (quick ? [0.25] : defaultDensities)
  const layers = batches.flatMap((batch) =>
    vitLayers(batch).map((layer) => ({ ...layer, name: `${layer.name} b${batch}` }))
  )
  const makers: CaseMaker[] = []
  for (const layer of layers) {
    const usual = layer.name.startsWith(quick ? 'vit-t proj' : 'vit-b proj')
    const ops = sparseOps.filter((op) => {
      const name = `${layer.name} ${op}`
      return only ? only.some((word) => name.includes(word)) : usual && (!quick || op === 'forward')
    })
    // A weight times a mask belongs to what is compared unless patterns are asked for.
    const masked = options.patterns || quick ? null : [32, 32] as const
    if (ops.length) makers.push(...layerCases(layer, ops, patterns, wanted, masked))
  }
  return makers
}

function layerCases(
  layer: LinearShape,
  ops: readonly SparseOp[],
  patterns: readonly Pattern[],
  wanted: readonly number[],
  masked: Tile | null,
): CaseMaker[] {
  const shape = [layer.outer, layer.inner] as const
  const fitting = patterns.filter((pattern) => pattern.unfit(shape) === null)
  if (!fitting.length && patterns.length) {
    throw new InputError(
      `bench patterns: none of the patterns fits ${layer.name}, a weight of [${shape}]: ${
        patterns.map((pattern) => `${pattern.name} ${pattern.unfit(shape)}`).join('; ')
      }`,
    )
  }
  const fixed = new Map(fitting.map((pattern) => [pattern, pattern.fixedDensity(shape)] as const))
  const densities = [...new Set([...wanted, ...[...fixed.values()].filter((density) => density !== null)])]
  // One layer's matrices serve all of its cases, one case after the other.
  let data: LayerData | null = null, left = ops.length * densities.length
  const done = () => {
    if (--left > 0 || !data) return
    disposeTree(data.tensors)
    data = null
  }
  return ops.flatMap((op) =>
    densities.toSorted((a, b) => b - a).flatMap((density): CaseMaker[] => {
      const here = fitting.filter((pattern) =>
        (fixed.get(pattern) ?? density) === density
        && (fixed.get(pattern) !== null || wanted.includes(density))
      )
      if (!here.length) {
        left--
        return []
      }
      return [{
        name: `${layer.name} ${op} at ${density}`,
        make: () => {
          const work = sparseCase(data ??= layerData(layer), op, density, here, masked), last = work.subjects.at(-1)!
          const free = last.dispose
          last.dispose = () => {
            free?.()
            done()
          }
          return Promise.resolve(work)
        },
      }]
    })
  )
}

/** Where each pattern's curve crosses the dense one, for rows of more than one density. */
export function breakEvenRows(rows: readonly Row[]): BreakEvenRow[] {
  const curves = new Map<string, { row: Row, points: DensityTimes[] }>()
  for (const row of rows) {
    const { impl, density, msRounds } = row
    if (density === undefined || !msRounds || impl === 'dense' || impl === 'sliced') continue
    const dense = rows.find((other) =>
      other.impl === 'dense' && other.name === row.name && other.shape === row.shape && other.density === density
      && other.profile === row.profile
    )
    if (!dense?.msRounds) continue
    const key = JSON.stringify([row.name, row.shape, impl, row.profile])
    const curve = curves.get(key) ?? { row, points: [] }
    curves.set(key, curve)
    curve.points.push({ density, dense: dense.msRounds, sparse: msRounds, processes: row.processes })
  }
  return [...curves.values()].filter(({ points }) => points.length > 1).map(({ row, points }) => ({
    pattern: row.impl,
    op: row.name,
    shape: row.shape,
    over: 'dense',
    ...breakEven(points),
    ...row.profile && { profile: row.profile },
  }))
}

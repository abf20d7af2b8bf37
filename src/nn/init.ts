// Start values. Each parameter draws from a stream named by its path, so the same seed gives the same model everywhere.
import { fillTruncatedNormal, fillUniform } from '../base/random.ts'
import { type DescribedLeaf, describedParameters } from '../core/tree.ts'
import { isStarted, type LeafRole } from '../core/traits.ts'

/** How weights start: a fixed standard deviation (transformers: 0.02), or by one of the names of `initialize`. */
export type Scheme = { std: number } | 'fan-in' | 'kaiming' | 'mimetic'

/**
 * Fills every weight with two or more axes; biases, gains and masks keep their values, also those of two axes (a
 * leaf's class says what it is, see `LeafTraits`).
 * `fan-in`: uniform in +-1/sqrt(inputs), PyTorch's default for linear layers. `kaiming`: truncated normal of std sqrt(2
 * / inputs) (He et al. 2015), for relu networks; inputs are all axes that a product sums over.
 * `mimetic`: for vision transformers on few images, after Trockman & Kolter 2023 (arXiv 2305.09828): see `mimic`.
 */
export function initialize<M>(model: M, seed: number, scheme: Scheme = { std: 0.02 }): M {
  const weights = describedParameters(model).filter(([, leaf, traits]) => isStarted(traits, leaf))
  const values = new Map(weights.map((leaf) => [leaf[0], start(leaf, seed, scheme)]))
  if (scheme === 'mimetic') mimic(weights, values)
  for (const [path, weight] of weights) weight.write(values.get(path)!)
  return model
}

function start(
  [path, { size, shape }, { role = 'weight' }]: DescribedLeaf,
  seed: number,
  scheme: Scheme,
): Float32Array {
  // Attention's weights [heads, dim, width] have two axes of outputs.
  const inputs = size / (projections.has(role) ? shape[0] * shape[1] : shape[0])
  const values = new Float32Array(size)
  if (scheme === 'fan-in') return fillUniform(values, seed, path, -(inputs ** -0.5), inputs ** -0.5)
  if (scheme === 'kaiming') return fillTruncatedNormal(values, seed, path, Math.sqrt(2 / inputs))
  if (scheme === 'mimetic') {
    return fillTruncatedNormal(values, seed, path, role === 'classifier' ? 0.02 : inputs ** -0.5)
  }
  return fillTruncatedNormal(values, seed, path, scheme.std)
}

const projections: ReadonlySet<LeafRole> = new Set(['query', 'key', 'value'])

/**
 * What trained attention has been found to look like. Keys start as queries, so that a token looks at those that
 * resemble it: query^T key is about 0.7 times the identity, cut to a head's rank. What comes back is taken away: out
 * value is about -0.4 times the identity. Position tables start as sines of both coordinates, so that neighbours
 * resemble each other. (The paper factors identity plus noise by singular values; a random matrix times its transpose
 * is such a matrix already.)
 */
function mimic(weights: readonly DescribedLeaf[], values: ReadonlyMap<string, Float32Array>): void {
  const beside = (path: string, wanted: LeafRole) => {
    const found = weights.find(([other, , { role }]) => role === wanted && ownerOf(other) === ownerOf(path))
    return found && values.get(found[0])
  }
  for (const [path, { shape }, { role }] of weights) {
    const own = values.get(path)!
    if (role === 'query') {
      own.forEach((value, i) => {
        own[i] = Math.sqrt(0.7) * value
      })
      beside(path, 'key')?.set(own)
    } else if (role === 'value') {
      const out = beside(path, 'projection'), width = shape[2], inner = shape[0] * shape[1]
      for (let i = 0; out && i < out.length; i++) out[i] = -0.4 * own[i % inner * width + Math.floor(i / inner)]
    } else if (role === 'positions' && shape.length === 2) {
      sines(own, shape[0], shape[1])
    }
  }
}

const ownerOf = (path: string) => path.slice(0, path.lastIndexOf('.') + 1)

/**
 * Sines and cosines of row and column, from 1 to 1 / side radians per token; extra tokens (class, distillation) come
 * first and stay random.
 */
function sines(table: Float32Array, tokens: number, width: number): void {
  const side = Math.floor(Math.sqrt(tokens)), extra = tokens - side * side, count = Math.floor(width / 4)
  for (let token = 0; token < side * side; token++) {
    const place = [Math.floor(token / side), token % side]
    for (let i = 0; i < 4 * count; i++) {
      const angle = place[i % 4 >> 1] * side ** (-Math.floor(i / 4) / Math.max(1, count - 1))
      table[(extra + token) * width + i] = i % 2 ? Math.cos(angle) : Math.sin(angle)
    }
  }
}

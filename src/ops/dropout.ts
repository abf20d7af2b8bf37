// Dropout and drop-path. The random state lives on the device and is advanced there, so that a captured step draws anew
// each time.
import { InputError, ShapeError } from '../base/errors.ts'
import { kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { empty, type Tensor, tensor } from '../core/tensor.ts'
import { combine } from './elementwise.ts'
import { op } from '../core/op.ts'

const draw = kernel('dropout.wgsl', { entry: 'draw', buffers: ['state', 'copy'] })
const apply = kernel('dropout.wgsl', {
  entry: 'apply',
  buffers: ['key', 'x', 'out'],
  params: ['size', 'threshold', 'factor'],
})
const mask = kernel('dropout.wgsl', { entry: 'mask', buffers: ['key', 'out'], params: ['size', 'threshold', 'factor'] })

/**
 * A generator's state on the device, u32 [4]: seed and number of the next draw. Draw d decides element i by
 * `word(seed, d, i)` of src/random.ts. States of one seed draw the same: give each layer a seed of its own, or share
 * one state.
 * @throws InputError unless the seed is a whole number from 0 to 2^53 - 1.
 */
export function randomState(seed: number): Tensor {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new InputError(`randomState: expected a whole seed from 0 to 2^53 - 1, got ${seed}`)
  }
  return tensor(Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32), 0, 0))
}

/** The key of this draw; the state moves on. */
function drawKey(name: string, state: Tensor, rate: number): Tensor {
  if (state.size !== 4) {
    throw new ShapeError(`${name}: the state has shape [${state.shape}], expected [4]; make it with randomState(seed)`)
  }
  if (!(rate >= 0 && rate < 1)) throw new InputError(`${name}: expected a rate from 0 to below 1, got ${rate}`)
  const key = empty([4], 'u32')
  launch(draw, { state, copy: key }, {}, [1])
  return key
}

const chances = (rate: number) => ({
  threshold: Math.min(2 ** 32 - 1, Math.round(rate * 2 ** 32)),
  factor: 1 / (1 - rate),
})

function applied(x: Tensor, key: Tensor, rate: number): Tensor {
  const out = empty(x.shape)
  launch(apply, { key, x, out }, { size: x.size, ...chances(rate) }, grid(Math.ceil(x.size / 256)))
  return out
}

/**
 * Each element is 0 with probability `rate`, else x / (1 - rate) (Srivastava et al. 2014). The backward pass draws the
 * mask again from the saved key. @throws InputError for a rate outside [0, 1).
 */
export const dropout = op<[Tensor, Tensor], { rate: number }>({
  name: 'dropout',
  attrs: { rate: true },
  dtypes: ['f32', 'u32'],
  axes: '..., . -> ...',
  run(x, state, { rate }) {
    const key = drawKey('dropout', state, rate)
    return { out: applied(x, key, rate), key }
  },
  vjp: ({ saved: { key }, attrs: { rate } }, dy) => [applied(dy, key, rate), null],
})

/**
 * Drops whole samples of x [B, ...] with probability `rate` and divides the others by 1 - rate: stochastic depth on a
 * residual branch (Huang et al. 2016). Sample b is decided by word b of the draw. @throws InputError for a rate outside
 * [0, 1).
 */
export const dropPath = op<[Tensor, Tensor], { rate: number }>({
  name: 'drop-path',
  attrs: { rate: true },
  dtypes: ['f32', 'u32'],
  axes: '..., . -> ...',
  run(x, state, { rate }) {
    if (x.shape.length === 0) throw new ShapeError('drop-path: expected x [B, ...] with a batch axis, got a scalar')
    const key = drawKey('drop-path', state, rate)
    const kept = empty([x.shape[0], ...x.shape.slice(1).map(() => 1)])
    launch(mask, { key, out: kept }, { size: kept.size, ...chances(rate) }, grid(Math.ceil(kept.size / 256)))
    return { out: combine('mul', x, kept), kept }
  },
  vjp: ({ saved: { kept } }, dy) => [combine('mul', dy, kept), null],
})

// Windows of a feature map, the shift between them, and what two tokens of a window know of each other's position.
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import type { Tensor } from '../core/tensor.ts'

/** x [B, Y, X, C] -> [B * windows, window * window, C]; Y and X must be multiples of the window. */
export function toWindows(x: Tensor, window: number): Tensor {
  const [batch, height, width, channels] = x.shape
  const split = reshape(x, { shape: [batch, height / window, window, width / window, window, channels] })
  return reshape(permute(split, { order: [0, 1, 3, 2, 4, 5] }), { shape: [-1, window * window, channels] })
}

/** The inverse of `toWindows` for a map of `height` x `width`. */
export function fromWindows(x: Tensor, window: number, height: number, width: number): Tensor {
  const channels = x.shape[2]
  const split = reshape(x, { shape: [-1, height / window, width / window, window, window, channels] })
  return reshape(permute(split, { order: [0, 1, 3, 2, 4, 5] }), { shape: [-1, height, width, channels] })
}

/**
 * Row of the relative position table for each pair of tokens, query first: (dy + w - 1) (2w - 1) + (dx + w - 1). Length
 * w^4.
 */
export function relativeIndex(window: number): Uint32Array {
  const tokens = window * window
  return Uint32Array.from({ length: tokens * tokens }, (_, pair) => {
    const query = Math.floor(pair / tokens), key = pair % tokens
    const dy = Math.floor(query / window) - Math.floor(key / window)
    const dx = query % window - key % window
    return (dy + window - 1) * (2 * window - 1) + dx + window - 1
  })
}

/**
 * The mask of shifted windows: -100 between tokens that were not neighbours before the shift, else 0.
 * Returns [windows, tokens, tokens] for a map of `height` x `width`, shifted by `shift` along both axes (0 where not).
 */
export function shiftMask(
  height: number,
  width: number,
  window: number,
  shift: readonly [number, number],
): Float32Array {
  const region = (at: number, size: number, by: number) => by === 0 || at < size - window ? 0 : at < size - by ? 1 : 2
  const across = width / window, tokens = window * window
  const ids = (index: number, token: number) => {
    const y = Math.floor(index / across) * window + Math.floor(token / window)
    const x = index % across * window + token % window
    return region(y, height, shift[0]) * 3 + region(x, width, shift[1])
  }
  const windows = height / window * across
  const mask = new Float32Array(windows * tokens * tokens)
  for (let index = 0, at = 0; index < windows; index++) {
    for (let query = 0; query < tokens; query++) {
      const mine = ids(index, query)
      for (let key = 0; key < tokens; key++, at++) if (ids(index, key) !== mine) mask[at] = -100
    }
  }
  return mask
}

import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import type { Tensor } from '../core/tensor.ts'
import { Conv2d } from './conv2d.ts'

/** Cuts an image into patches and embeds each: a convolution whose stride is its size, then tokens before channels. */
export class Patches {
  projection: Conv2d

  constructor(channels: number, width: number, patch: number) {
    this.projection = new Conv2d(channels, width, patch, { stride: patch })
  }

  /** image [batch, channel, y, x] -> [batch, token, width], tokens row by row. */
  call(image: Tensor): Tensor {
    const map = this.projection.call(image)
    const [batch, width, height, across] = map.shape
    return reshape(permute(map, { order: [0, 2, 3, 1] }), { shape: [batch, height * across, width] })
  }
}

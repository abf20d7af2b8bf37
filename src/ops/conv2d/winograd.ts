// Convolution with kernels of three by three by Winograd's minimal filtering (Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2016): tiles of the images and the kernels are transformed, multiplied point by point,
// one matrix product for each, and transformed back. For the embedded device.
import { derived } from '../../core/derived.ts'
import { grid, launch } from '../../core/launch.ts'
import { empty, type Tensor } from '../../core/tensor.ts'
import { placesIn, STRIP } from '../shared/strips.ts'
import { flopsOfPixels, type PixelWork } from './convolution.ts'
import type { WeightOrder } from './layout.ts'
import { type TileSide, winogradImage, winogradKernels, winogradProduct } from './winograd-kernels.ts'

/** Most bytes of transformed images and of sums at a time. */
const LIMIT = 8 * 2 ** 20

/** Whether a convolution is of the kind: three by three taps side by side, in one group, every pixel once. */
export function isWinograd({ to: { tapsY, tapsX, first, step, pixels, out }, order }: PixelWork): boolean {
  return order.groups === 1
    && [tapsY, tapsX].every(({ count, stride, dilation }) => count === 3 && stride === 1 && dilation === 1)
    && [...first, step[0] - 1, step[1] - 1].every((n) => n === 0) && pixels[0] === out.shape[2]
    && pixels[1] === out.shape[3]
}

/** Tiles along both axes. */
const tilesAlong = ({ to: { pixels } }: PixelWork, side: TileSide) =>
  [Math.ceil(pixels[0] / side), Math.ceil(pixels[1] / side)] as const

/**
 * Whether tiles of `side` outputs take less time than the convolution as it is written: enough channels that the steps
 * before and after do not outweigh the products, enough tiles to read a transformed weight for, little of them beyond
 * the edges.
 */
export function worthTiles(work: PixelWork, side: TileSide): boolean {
  const { to: { batch, pixels }, order: { outputs, channels } } = work, [down, across] = tilesAlong(work, side)
  const tiles = batch * down * across, made = batch * pixels[0] * pixels[1]
  const least = side === 2 ? 32 : 16
  return channels >= least && outputs >= least && tiles >= 16 && (side + 2) ** 2 * tiles <= 0.75 * 9 * made
}

/** Kernels of three by three transformed, kept with the weight: [points, strips, channels, 16]. */
function transformed(w: Tensor, order: WeightOrder, side: TileSide): Tensor {
  const places = placesIn({ ...order, stepX: order.stepPart }), { strips, channels } = places
  const size = strips * channels, params = { size, ...places }
  const key = `winograd ${side} ${Object.values(params).join()}`
  return derived(w, key, [(side + 2) ** 2, strips, channels, STRIP], (w, out) => {
    launch(winogradKernels[side].weight, { w, out }, params, grid(Math.ceil(size / 64)))
  })
}

/** Pixels times weights (plus bias) into `to.out`, where `isWinograd`, by tiles of `side` outputs. */
export function winogradPixels(work: PixelWork, side: TileSide): void {
  const { to: { images, batch, start, pixels, out, bias }, w, order } = work
  const { x, padding } = images.plain, [, , height_in, width_in] = x.shape
  const { outputs, channels } = order, strips = Math.ceil(outputs / STRIP), octets = Math.ceil(channels / 8)
  const [tiles_y, tiles_x] = tilesAlong(work, side), points = (side + 2) ** 2
  const [height, width] = pixels, rows = tiles_y * side + 2, columns = (tiles_x + 1) * side
  const kernels = winogradKernels[side], weights = transformed(w, order, side)
  const image = empty([batch, octets, rows, columns, 8])
  launch(
    winogradImage,
    { x, out: image },
    {
      size: batch * octets * rows,
      channels,
      octets,
      height: height_in,
      width: width_in,
      rows,
      columns,
      top: padding[0] - start[0],
      left: padding[1] - start[1] + side - 2,
    },
    grid(Math.ceil(batch * octets * rows / 64)),
  )
  // Rows of tiles at a time, so that what is between the steps takes little memory.
  const most = Math.max(1, Math.floor(LIMIT / (4 * points * tiles_x * (8 * octets + STRIP * strips))))
  const all = batch * tiles_y, parts = Math.ceil(all / most), each = Math.ceil(all / parts)
  const read = empty([points, each * tiles_x, octets, 8]), sums = empty([strips, each * tiles_x, points, STRIP])
  for (let first = 0; first < all; first += each) {
    const count = Math.min(each, all - first), tiles = count * tiles_x
    const into = count * octets, made = count * Math.ceil(outputs / 4)
    launch(
      kernels.input,
      { x: image, out: read },
      { size: into, octets, rows, tiles_y, tiles_x, tiles, first },
      grid(Math.ceil(into / 64)),
    )
    launch(
      winogradProduct,
      { x: read, w: weights, out: sums },
      { tiles, strips, channels, width: 8 * octets, points },
      grid(points * Math.ceil(strips / 4) * Math.ceil(tiles / 64)),
      { flops: flopsOfPixels(work) * count / all },
    )
    launch(
      kernels.output[width % 4 === 0 ? 4 : width % 2 === 0 ? 2 : 1],
      { m: sums, bias: bias ?? weights, y: out },
      { size: made, outputs, height, width, tiles_y, tiles_x, tiles, first, has_bias: bias ? 1 : 0 },
      grid(Math.ceil(made / 64)),
    )
  }
}

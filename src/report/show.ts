// A heatmap by itself, for programs and pages: as pixels, as a PNG file, on a canvas; alone or over its picture.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { encode } from 'fast-png'
import { ShapeError } from '../base/errors.ts'
import { colourOf, enlarged, fullScale, type Heatmap, overlaid, type Picture, resized, shade,
  smoothed } from './heatmap.ts'

const heatmapKeys: OptionKeys<HeatmapOptions> = { over: true, width: true, scale: true }

/** How a heatmap is shown. */
export interface HeatmapOptions {
  /** The picture it belongs to, of the same proportions: it is shown in grey under the relevance, which is smoothed. */
  over?: Picture
  /** Width in pixels; default that of the heatmap. The height follows. */
  width?: number
  /** The absolute relevance of full colour; default what one pixel in 200 exceeds. */
  scale?: number
}

/** RGBA pixels, row by row, as `ImageData` takes them. */
export interface Shown {
  width: number
  height: number
  data: Uint8ClampedArray<ArrayBuffer>
}

/** What `drawHeatmap` needs of a canvas: a page's, an OffscreenCanvas, or one of a package for Node. */
export interface CanvasLike {
  width: number
  height: number
  getContext(kind: '2d'): unknown
}

/**
 * The heatmap in colour: red speaks for the class, blue against it, white is nothing.
 * @throws ShapeError for a width that is no whole number from 1 to 16384, or a picture of other proportions.
 */
export function heatmapPixels(map: Heatmap, options: HeatmapOptions = {}): Shown {
  checkOptions('heatmap', options, heatmapKeys)
  const { over, width = map.width, scale } = options
  if (!Number.isInteger(width) || width < 1 || width > 16384) {
    throw new ShapeError(`heatmap: width ${width}, expected a whole number from 1 to 16384`)
  }
  const height = Math.max(1, Math.round(width * map.height / map.width))
  if (over && Math.abs(over.width * map.height - over.height * map.width) > Math.max(over.width, over.height)) {
    throw new ShapeError(
      `heatmap: a picture of ${over.width} x ${over.height} under a map of ${map.width} x ${map.height}; `
        + 'expected the picture the network saw, `pixels` of loadImage',
    )
  }
  const shown = over ? smoothed(map, width, height) : resized(map, width, height), full = scale ?? fullScale(shown)
  const picture = over && enlarged(over, width, height), data = new Uint8ClampedArray(width * height * 4)
  shown.values.forEach((value, i) => {
    const colour = picture
      ? overlaid(colourOf(picture, i % width, Math.floor(i / width)), value / full)
      : shade(value / full)
    data.set(colour, 4 * i)
    data[4 * i + 3] = 255
  })
  return { width, height, data }
}

/** The heatmap as the bytes of a PNG file. @throws ShapeError as `heatmapPixels`. */
export function heatmapPng(map: Heatmap, options: HeatmapOptions = {}): Uint8Array<ArrayBuffer> {
  const { width, height, data } = heatmapPixels(map, options)
  const rgb = Uint8Array.from({ length: 3 * width * height }, (_, i) => data[4 * Math.floor(i / 3) + i % 3])
  return new Uint8Array(encode({ width, height, data: rgb, channels: 3, depth: 8 }))
}

/**
 * Draws the heatmap on a canvas, which takes its size. @throws ShapeError as `heatmapPixels`, or without 2D context.
 */
export function drawHeatmap(canvas: CanvasLike, map: Heatmap, options: HeatmapOptions = {}): void {
  const { width, height, data } = heatmapPixels(map, options)
  const context = canvas.getContext('2d') as {
    createImageData(width: number, height: number): { data: Uint8ClampedArray },
    putImageData(image: unknown, x: number, y: number): void,
  } | null
  if (!context) throw new ShapeError('heatmap: the canvas has no 2D context; it may have one of another kind already')
  canvas.width = width
  canvas.height = height
  const image = context.createImageData(width, height)
  image.data.set(data)
  context.putImageData(image, 0, 0)
}

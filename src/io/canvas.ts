// A picture in memory to paint on: rectangles, blocks of pixels, text. Written as PNG.
import { encode } from 'fast-png'
import { advance, glyph } from './font.ts'

/** Red, green and blue, 0..255. */
export type Colour = readonly [red: number, green: number, blue: number]

/** An RGB picture, white at first. */
export class Canvas {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.data = new Uint8Array(width * height * 3).fill(255)
  }

  /** Fills a rectangle; what lies outside the picture is left out. */
  fill(left: number, top: number, width: number, height: number, [red, green, blue]: Colour): void {
    for (let y = Math.max(0, top); y < Math.min(this.height, top + height); y++) {
      for (let x = Math.max(0, left); x < Math.min(this.width, left + width); x++) {
        const at = 3 * (y * this.width + x)
        this.data[at] = red
        this.data[at + 1] = green
        this.data[at + 2] = blue
      }
    }
  }

  /** Paints a map of `columns` x `rows` values over a rectangle, each pixel with the value it falls on. */
  paint(left: number, top: number, width: number, height: number, columns: number, rows: number, colour: (x: number, y: number) => Colour): void {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        this.fill(left + x, top + y, 1, 1, colour(Math.floor(x * columns / width), Math.floor(y * rows / height)))
      }
    }
  }

  /** Writes a line of text, cut to `width` pixels with two dots where it is longer. */
  text(left: number, top: number, text: string, { scale = 2, colour = [30, 30, 30] as Colour, width = Infinity } = {}): void {
    const fits = Math.floor(width / (advance * scale))
    const shown = text.length > fits ? `${text.slice(0, Math.max(0, fits - 2)).trimEnd()}..` : text;
    [...shown].forEach((character, i) => {
      glyph(character).forEach((row, y) => {
        [...row].forEach((cell, x) => {
          if (cell === '#') this.fill(left + (i * advance + x) * scale, top + y * scale, scale, scale, colour)
        })
      })
    })
  }

  /** The PNG file. */
  png(): Uint8Array {
    return encode({ width: this.width, height: this.height, data: this.data, channels: 3, depth: 8 })
  }
}

/** Pixels that a text takes at a scale. */
export const textWidth = (text: string, scale = 2): number => text.length * advance * scale

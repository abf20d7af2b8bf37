// A picture in memory to paint on: rectangles, blocks of pixels, text. Written as PNG.
import { encode } from 'fast-png'
import { advance, coverage } from './font.ts'

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

  /** Paints a rectangle pixel by pixel. */
  paint(left: number, top: number, width: number, height: number, colour: (x: number, y: number) => Colour): void {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) this.fill(left + x, top + y, 1, 1, colour(x, y))
    }
  }

  /** Writes a line of text, cut to `width` pixels with two dots where it is longer. */
  text(
    left: number,
    top: number,
    text: string,
    { scale = 2, colour = [30, 30, 30] as Colour, width = Infinity } = {},
  ): void {
    const fits = Math.floor(width / (advance * scale))
    const shown = text.length > fits ? `${text.slice(0, Math.max(0, fits - 2)).trimEnd()}..` : text
    ;[...shown].forEach((character, i) => {
      coverage(character, scale).forEach((row, y) => {
        row.forEach((cover, x) => {
          this.blend(left + i * advance * scale + x, top + y, colour, cover)
        })
      })
    })
  }

  /** Lays a colour over one pixel; 0 leaves it, 1 covers it. */
  private blend(x: number, y: number, colour: Colour, cover: number) {
    if (!cover || x < 0 || x >= this.width || y >= this.height) return
    const at = 3 * (y * this.width + x)
    colour.forEach((value, i) => {
      this.data[at + i] += Math.round((value - this.data[at + i]) * cover)
    })
  }

  /** The PNG file. */
  png(): Uint8Array {
    return encode({ width: this.width, height: this.height, data: this.data, channels: 3, depth: 8 })
  }
}

/** Pixels that a text takes at a scale. */
export const textWidth = (text: string, scale = 2): number => text.length * advance * scale

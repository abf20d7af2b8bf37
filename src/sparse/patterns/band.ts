import { definePattern, type Pattern } from '../pattern.ts'
import { keepTiles, strongest, tilesOf } from '../tiles.ts'

/** Square tiles nearest to the diagonal, whatever their scores; `density` says how broad the band is. */
export const band = (size: number): Pattern =>
  definePattern({
    name: `band:${size}`,
    summary: `tiles of ${size}x${size} nearest to the diagonal`,
    tile: [size, size],
    keep(_, shape, density) {
      const [down, across] = tilesOf(shape, [size, size])
      const nearness = Float64Array.from(
        { length: down * across },
        (_, i) => -Math.abs((Math.floor(i / across) + 0.5) / down - (i % across + 0.5) / across),
      )
      return keepTiles(strongest(nearness, Math.round(density * nearness.length)), shape, [size, size])
    },
  })

// Whether packed weights are what their pattern says: of a file, or of a pattern's own `pack`.
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import type { Packed, Pattern } from './pattern.ts'
import { tilesOf } from './tiles.ts'

/**
 * Checks a packed weight, and answers with the places of its tiles. `what` is the file and tensor, or the pattern;
 * `cure` is what is likely wrong.
 * @throws InputError, one sentence, for another shape, tile or number of values than the pattern's, index arrays that
 * are missing or too short, a tile out of range, out of order or stored twice, and values that are not finite.
 */
export function checkPacked(
  pattern: Pattern,
  packed: Packed,
  what: string,
  cure = `the file is damaged, or another pattern than ${pattern.name} wrote it`,
): Uint32Array {
  const { shape, tile, slots, values, index } = packed, wanted = pattern.tile(shape)
  const fail = (sentence: string): never => {
    throw new InputError(`${what}: ${sentence}; ${cure}`)
  }
  const unfit = pattern.unfit(shape)
  if (unfit !== null) fail(`a weight of [${shape}] cannot be ${pattern.name}: ${unfit}`)
  if (tile.join() !== wanted.join()) fail(`its tiles are ${tile.join('x')}, expected ${wanted.join('x')}`)
  const [down, across] = tilesOf(shape, tile), size = tile[0] * tile[1]
  if (!Number.isInteger(slots) || slots < 0 || slots > down * across) {
    fail(`it stores ${slots} tiles, expected at most the ${down * across} of a weight of [${shape}]`)
  }
  const length = Math.max(1, slots) * size
  if (values.length !== length) fail(`it has ${values.length} values, expected ${length} for ${slots} tiles`)
  const names = Object.keys(index).sort().join(', '), expected = [...pattern.walk.index].sort().join(', ')
  if (names !== expected) fail(`its index is ${names ? quoted(names) : 'missing'}, expected ${expected || 'none'}`)
  const positions = placesOf(pattern, packed, fail)
  if (positions.length !== 2 * slots) fail(`its index has ${positions.length / 2} tiles, expected ${slots}`)
  let before = -1
  for (let slot = 0; slot < slots; slot++) {
    const row = positions[2 * slot], column = positions[2 * slot + 1], at = row * across + column
    if (row >= down || column >= across) {
      fail(`tile ${slot} stands in row ${row} and column ${column} of tiles, expected below ${down} and ${across}`)
    }
    if (at === before) fail(`tiles ${slot - 1} and ${slot} both stand in row ${row} and column ${column} of tiles`)
    if (at < before) fail(`tile ${slot} stands before tile ${slot - 1}, expected them by row and then by column`)
    before = at
  }
  const odd = values.findIndex((value) => !Number.isFinite(value))
  if (odd >= 0) fail(`value ${odd} is ${values[odd]}, expected finite numbers`)
  return positions
}

function placesOf(pattern: Pattern, packed: Packed, fail: (sentence: string) => never): Uint32Array {
  try {
    return pattern.positions(packed)
  } catch (error) {
    return fail(error instanceof InputError ? error.message : `its index cannot be read: ${String(error)}`)
  }
}

/** Entries that are stored, as a share of the dense weight's; edges of tiles beyond the weight do not count. */
export function densityOf(packed: Packed, positions: Uint32Array): number {
  const { shape: [rows, columns], tile: [height, width] } = packed
  let entries = 0
  for (let i = 0; i < positions.length; i += 2) {
    entries += Math.min(height, rows - positions[i] * height) * Math.min(width, columns - positions[i + 1] * width)
  }
  return entries / (rows * columns)
}

/** Bytes of values and index in memory and, as f32 and u32, in a file. */
export function bytesOf({ values, index }: Packed): number {
  return values.byteLength + Object.values(index).reduce((sum, array) => sum + array.byteLength, 0)
}

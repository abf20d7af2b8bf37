// N:M sparsity: of every M neighbouring inputs of an output, N stay (Mishra et al. 2021, arXiv 2104.08378). The index
// is the place within the group, a few bits each.
import { InputError } from '../../base/errors.ts'
import { definePattern, type MatrixShape, type Pattern } from '../pattern.ts'
import { packTiles, strongest } from '../tiles.ts'

/** Bits of a place in the index. */
export type PlaceBits = 2 | 4 | 8 | 32

/** Kept entries of a row: N of each group, and of a last group that is shorter as many as it has. */
const perRow = (columns: number, n: number, m: number) => Math.floor(columns / m) * n + Math.min(n, columns % m)

/** The fewest bits that hold a place of a group of `m`. */
const bitsFor = (m: number): PlaceBits => m <= 4 ? 2 : m <= 16 ? 4 : m <= 256 ? 8 : 32

/** N of every M inputs; places take 2, 4, 8 or 32 bits, by default as few as will do. */
export function nOfM(n: number, m: number, bits: PlaceBits = bitsFor(m)): Pattern {
  /** The N strongest of each group. */
  const choose = (scores: ArrayLike<number>, [rows, columns]: MatrixShape): Uint8Array => {
    const keep = new Uint8Array(rows * columns)
    for (let i = 0; i < rows; i++) {
      for (let from = 0; from < columns; from += m) {
        const size = Math.min(m, columns - from), at = i * columns + from
        const own = Array.from({ length: size }, (_, j) => scores[at + j])
        for (const j of strongest(own, Math.min(n, size))) keep[at + j] = 1
      }
    }
    return keep
  }
  return definePattern({
    name: `nm:${n}:${m}${bits === bitsFor(m) ? '' : `:${bits}`}`,
    summary: `${n} of every ${m} inputs of an output`,
    unfit: ([, columns]) => columns < m ? `it has ${columns} inputs, fewer than a group of ${m}` : null,
    fixedDensity: ([, columns]) => perRow(columns, n, m) / columns,
    keep: (scores, shape) => choose(scores, shape),
    pack(weight, keep, shape) {
      // A group that keeps fewer is filled up with entries that are stored as zeros.
      const full = choose(Array.from({ length: shape[0] * shape[1] }, (_, i) => keep[i] ? 1 : 0), shape)
      const columns = shape[1], positions: number[] = []
      full.forEach((one, i) => {
        if (one) positions.push(Math.floor(i / columns), i % columns)
      })
      const places = Uint32Array.from(positions)
      return { ...packTiles(weight, keep, shape, [1, 1], places), index: { place: packed(places, m, bits) } }
    },
    index: (positions) => ({ place: packed(positions, m, bits) }),
    positions({ shape: [rows, columns], index: { place } }) {
      const each = perRow(columns, n, m), words = Math.ceil(rows * each * bits / 32)
      if (place.length < words) {
        throw new InputError(
          `place has ${place.length} words, expected ${words} for ${rows * each} entries of ${bits} bits`,
        )
      }
      const positions = new Uint32Array(2 * rows * each)
      for (let slot = 0; slot < rows * each; slot++) {
        const base = Math.floor(slot % each / n) * m
        positions[2 * slot] = Math.floor(slot / each)
        positions[2 * slot + 1] = base + read(place, slot, bits)
      }
      return positions
    },
    walk: {
      index: ['place'],
      wgsl: `fn per_row() -> u32 { return p.K / ${m}u * ${n}u + min(${n}u, p.K % ${m}u); }
fn first(row: u32) -> u32 { return row * per_row(); }
fn last(row: u32) -> u32 { return (row + 1u) * per_row(); }
fn column(row: u32, slot: u32) -> u32 {
  return (slot - row * per_row()) / ${n}u * ${m}u + ${
        bits === 32
          ? 'place[slot]'
          : `((place[slot / ${32 / bits}u] >> (slot % ${32 / bits}u * ${bits}u)) & ${2 ** bits - 1}u)`
      };
}`,
      ...(m & (m - 1)) === 0 && bits < 32 && 32 / bits % n === 0
        && { groups: { kept: n, size: m, bits, wgsl: 'fn word(i: u32) -> u32 { return place[i]; }' } },
    },
  })
}

function packed(positions: Uint32Array, m: number, bits: PlaceBits): Uint32Array {
  const slots = positions.length / 2, each = 32 / bits, words = new Uint32Array(Math.max(1, Math.ceil(slots / each)))
  for (let slot = 0; slot < slots; slot++) {
    words[Math.floor(slot / each)] |= positions[2 * slot + 1] % m << slot % each * bits
  }
  return words
}

const read = (words: Uint32Array, slot: number, bits: PlaceBits): number => {
  const each = 32 / bits, word = words[Math.floor(slot / each)]
  return bits === 32 ? word : word >>> slot % each * bits & 2 ** bits - 1
}

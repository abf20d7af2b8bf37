// A seeded stream of choices for the generators: the same seed makes the same inputs on every machine.

/** Draws. */
export interface Draw {
  /** From 0 to below `n`. */
  below(n: number): number
  pick<T>(list: readonly T[]): T
  chance(share: number): boolean
  bytes(n: number): Buffer
}

/** A stream of its own for each name, so that a case is the same whatever ran before it. */
export function drawer(seed: number, name: string): Draw {
  let state = seed >>> 0
  for (const character of name) state = Math.imul(state ^ character.codePointAt(0)!, 0x9e3779b1) >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ state >>> 15, state | 1)
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61)
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
  const below = (n: number) => Math.floor(next() * n)
  return {
    below,
    pick: (list) => list[below(list.length)],
    chance: (share) => next() < share,
    bytes: (n) => Buffer.from(Array.from({ length: n }, () => below(256))),
  }
}

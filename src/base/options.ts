// Options are objects, and a mistyped key would be ignored in silence: everything that takes options refuses keys it
// does not know.
import { InputError } from './errors.ts'

/** Every key of an options type, so that the type checker finds one that is missing or too many. */
export type OptionKeys<O> = Readonly<Record<keyof O, true>>

/**
 * Refuses options that do not exist; `undefined` stands for none.
 * @throws InputError with the keys there are, and the one that was probably meant.
 */
export function checkOptions(what: string, options: object | undefined, keys: Readonly<Record<string, true>>): void {
  for (const key in options) if (!Object.hasOwn(keys, key)) throw unknownOption(what, key, Object.keys(keys))
}

function unknownOption(what: string, key: string, known: readonly string[]): InputError {
  const near = nearest(key, known)
  const choice = known.length > 0 ? `it takes ${known.join(', ')}` : 'it takes none'
  return new InputError(
    `${what}: no option '${key.slice(0, 80)}'${near === undefined ? '' : ` (did you mean ${near}?)`}; ${choice}`,
  )
}

// Names that other libraries have for the same thing: too far away for a distance in letters.
const synonyms: Readonly<Record<string, readonly string[]>> = {
  axis: ['axes', 'dim'],
  dim: ['axis', 'axes'],
  dims: ['axes', 'axis'],
  keepdim: ['keep'],
  keepdims: ['keep'],
  keepDims: ['keep'],
  lr: ['rate', 'learningRate'],
  learningRate: ['rate', 'lr'],
  p: ['rate'],
}

/** The name among `known` that was probably meant, if one is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const synonym = Object.hasOwn(synonyms, name) ? synonyms[name].find((other) => known.includes(other)) : undefined
  if (synonym !== undefined) return synonym
  const most = Math.max(1, Math.min(3, Math.floor(name.length / 3)))
  return known.map((other) => ({ other, changes: distance(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ changes }) => changes <= most).sort((a, b) => a.changes - b.changes)[0]?.other
}

/** Insertions, deletions and replacements of one letter, and swaps of two neighbours, from one text to another. */
export function distance(from: string, to: string): number {
  let before: number[] = [], row = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(from[i - 1] !== to[j - 1]))
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        next[j] = Math.min(next[j], before[j - 2] + 1)
      }
    }
    before = row
    row = next
  }
  return row[to.length]
}

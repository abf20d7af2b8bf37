import { definePattern } from '../pattern.ts'
import { keepStrongestTiles } from '../tiles.ts'

/** Any entries, the strongest of the matrix: compressed sparse rows. */
export const unstructured = definePattern({
  name: 'unstructured',
  summary: 'any entries (CSR)',
  keep: (scores, shape, density) => keepStrongestTiles(scores, shape, density, [1, 1]),
})

// What an op is to those who read a tape: relevance rules, pruning, cost counts.

/**
 * The roles an op may have, each with what follows from it.
 * - `convolution`, `dense`: layers with a weight, a window's or all inputs wide; they say where weight and bias are.
 * - `activation`: f(x) of every element by itself, not linear. `product`: multiplies its arguments. `quotient`: the
 *   first argument by the second. `sum`: adds its arguments. `concat`: puts its arguments one after the other.
 * - `normalization`: by mean and deviation. `statistic`: a norm or variance; relevance holds it constant.
 * - `attention`: queries, keys and values come first.
 * - `movement`: only moves values. `reshape`: keeps even their order. `indexing`: names entries by their number, so
 *   that nothing along such an axis can be cut.
 * - `gate`: the place of a unit; passes its first argument on, perhaps times a mask.
 */
export const roles = [
  'convolution',
  'dense',
  'activation',
  'product',
  'quotient',
  'sum',
  'concat',
  'normalization',
  'statistic',
  'attention',
  'movement',
  'reshape',
  'indexing',
  'gate',
] as const

/** What an op is; see `roles`. */
export type Role = (typeof roles)[number]

// How far numbers lie from what they should be: the one measure of checks and benches.

/**
 * max|found - expected| / max|expected|; where everything expected is zero, max|found|. NaN where anything is no number
 * or the counts differ, which no comparison with a tolerance accepts.
 */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return NaN
  let difference = 0, scale = 0
  for (let i = 0; i < expected.length; i++) {
    // Math.max keeps a NaN; a comparison would forget it at the next number that is one.
    difference = Math.max(difference, Math.abs(found[i] - expected[i]))
    scale = Math.max(scale, Math.abs(expected[i]))
  }
  return scale > 0 ? difference / scale : difference
}

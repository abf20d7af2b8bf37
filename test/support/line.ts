/** Slope of a line through points, by least squares; 0 where all x are the same. */
export function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const x = mean(xs), y = mean(ys)
  const spread = xs.reduce((sum, value) => sum + (value - x) ** 2, 0)
  return spread === 0 ? 0 : xs.reduce((sum, value, i) => sum + (value - x) * (ys[i] - y), 0) / spread
}

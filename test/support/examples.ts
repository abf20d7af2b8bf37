// What an example prints that more than one test runs.
import { expect } from 'vitest'

/** examples/own-kernel.ts: errors of the check, and a table with both implementations, without times. */
export function saysOwnKernel(stdout: string): void {
  expect(stdout).toMatch(/forward: \d\S*,\s+gradients: \[ \d\S* \],\s+kernels: \[[^\]]*'relu-squared\.wgsl'/)
  expect(stdout).toMatch(/^roofs, browser: copies [\d.]+ GB\/s .* multiply-adds [\d.]+ GFLOP\/s/m)
  const rows = stdout.split('\n').filter((line) => /^relu-squared  256x1024  (package|mine) /.test(line))
  expect(rows).toHaveLength(2)
  expect(rows[1]).toMatch(/\d\.\de[-+]\d+/) // its largest error
}

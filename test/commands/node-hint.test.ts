import { expect, test } from 'vitest'
import { nodeHint } from '../../src/commands/node-hint.ts'

const [major] = process.versions.node.split('.').map(Number)

test('a GPU, or an engine that joins vectors, needs no newer Node', () => {
  expect(nodeHint('wasm-simd-256')).toBe(null)
  expect(nodeHint('lovelace')).toBe(null)
})

test.runIf(process.arch === 'x64')(
  'an engine that keeps 128 bits is named with what a newer one was measured to bring',
  () => {
    if (major >= 24) expect(nodeHint('wasm-simd')).toBe(null)
    else {expect(nodeHint('wasm-simd')).toMatch(
        new RegExp(`^Node ${process.versions.node} computes .* 1\\.6 to 1\\.9 times`),
      )}
  },
)

// What commands say of a network before they work.
import { expect, test } from 'vitest'
import { preparedText } from '../../src/commands/open.ts'

test('sizes that the name of an architecture implies are not said to be undefined', () => {
  const preprocessing = {
    resize: null,
    crop: 24,
    interpolation: 'bicubic',
    mean: [0.5],
    std: [0.5],
    channels: 1,
    cropRounding: 'floor',
  } as const
  const said = (architecture: { type: string, heads?: number }) =>
    preparedText({ preprocessing, origins: { heads: 'default' } }, { architecture, classes: undefined, classCount: 10 })
  expect(said({ type: 'vit-compact' })).not.toMatch(/undefined|heads/)
  expect(said({ type: 'vit', heads: 3 })).toContain('3 heads (default)')
})

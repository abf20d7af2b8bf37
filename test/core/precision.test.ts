// How exact the arithmetic has to be is asked for around calls, for a device, and is part of what a capture assumes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ShapeError } from '../../src/base/errors.ts'
import { compile } from '../../src/core/compile.ts'
import { precision, withPrecision } from '../../src/core/precision.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { close, init } from '../../src/gpu/device.ts'
import { type Precision, precisions } from '../../src/gpu/precision.ts'
import { scale } from '../../src/ops/elementwise.ts'

describe('precision on cpu', () => {
  beforeAll(() => init({ adapter: 'cpu', threads: 1, precision: 'fast' }))
  afterAll(close)

  test('the innermost work says it, then the device', () => {
    expect(precision()).toBe('fast')
    expect(precisions.map((level) => withPrecision(level, precision))).toEqual(precisions)
    withPrecision('default', () => {
      expect(precision()).toBe('default')
      expect(withPrecision('high', precision)).toBe('high')
      expect(precision()).toBe('default')
    })
    expect(() =>
      withPrecision('high', () => {
        throw new ShapeError('no')
      })
    ).toThrow('no')
    expect(precision()).toBe('fast')
  })

  test('work that goes on outside is an error', () => {
    expect(() => withPrecision('high', () => Promise.resolve())).toThrow(/asynchronous/)
  })

  test('a capture holds for the precision it was made at', async () => {
    const seen: string[] = [], x = tensor([1])
    const outer = compile((x: Tensor) => {
      seen.push(precision())
      return scale(x, { by: 2 })
    })
    const inner = compile((x: Tensor) =>
      withPrecision('high', () => {
        seen.push(`inner ${precision()}`)
        return scale(x, { by: 2 })
      })
    )
    for (const level of ['fast', 'fast', 'high', 'high', 'fast'] as const) {
      const y = withPrecision(level, () => outer(x)), z = withPrecision(level, () => inner(x))
      expect([await y.item(), await z.item()]).toEqual([2, 2])
      y.dispose()
      z.dispose()
    }
    expect(seen).toEqual(['fast', 'inner high', 'high', 'fast'])
    outer.clear()
    inner.clear()
    x.dispose()
  })

  test('a word that is none is refused before a device is opened', async () => {
    await expect(init({ precision: 'quick' as Precision })).rejects.toThrow(/precision is "quick", expected 'high'/)
  })
})

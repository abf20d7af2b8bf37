import { describe, expect, it } from 'vitest'
import { fillNormal, fillTruncatedNormal, fillUniform, normal, permutation, philox, random, uniform,
  word } from '../../src/base/random.ts'

describe('philox', () => {
  // known answers of the authors' Random123 library, philox4x32-10
  it.each([
    [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [[~0, ~0, ~0, ~0], [~0, ~0], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], [
      0xd16cfe09,
      0x94fdcceb,
      0x5001e420,
      0x24126ea1,
    ]],
  ])('known answer %#', (counter, key, expected) => {
    const out = new Uint32Array(4), [c, k] = [counter.map((x) => x >>> 0), key.map((x) => x >>> 0)]
    philox(c[0], c[1], c[2], c[3], k[0], k[1], out)
    expect([...out]).toEqual(expected)
  })
})

describe('random', () => {
  it('fills, cursors and single values agree', () => {
    const u = fillUniform(new Float32Array(11), 7, 'w')
    const n = fillNormal(new Float32Array(11), 7, 'w', 2, 1)
    const draw = random(7, 'w')
    for (let i = 0; i < 11; i++) {
      expect(u[i]).toBe(Math.fround(uniform(7, 'w', i)))
      expect(n[i]).toBe(Math.fround(1 + 2 * normal(7, 'w', i)))
      expect(draw.next()).toBe(uniform(7, 'w', i))
    }
  })

  it('differs by seed, stream and index, also above 32 bits', () => {
    const words = [
      word(1, 0, 0),
      word(2, 0, 0),
      word(1 + 2 ** 33, 0, 0),
      word(1, 1, 0),
      word(1, 2 ** 33, 0),
      word(1, 'a', 0),
      word(1, 'b', 0),
      word(1, 0, 1),
      word(1, 0, 4),
      word(1, 0, 2 ** 40),
    ]
    expect(new Set(words).size).toBe(words.length)
    expect(() => word(-1, 0, 0)).toThrow(/seed/)
  })

  it('uniform and normal have the right moments', () => {
    const n = 100_000, u = fillUniform(new Float32Array(n), 3, 0, -1, 1), z = fillNormal(new Float32Array(n), 3, 1)
    const moment = (x: Float32Array, p: number) => x.reduce((s, v) => s + v ** p, 0) / n
    expect(Math.abs(moment(u, 1))).toBeLessThan(0.01)
    expect(moment(u, 2)).toBeCloseTo(1 / 3, 2)
    expect(Math.abs(moment(z, 1))).toBeLessThan(0.015)
    expect(Math.abs(moment(z, 2) - 1)).toBeLessThan(0.02)
    expect(Math.abs(moment(z, 4) - 3)).toBeLessThan(0.15)
  })

  it('the own logarithm and sine agree with Math to 1e-13', () => {
    for (let i = 0; i < 2000; i++) {
      const pair = i & ~1, a = (word(5, 's', pair) + 0.5) / 2 ** 32, b = word(5, 's', pair + 1) / 2 ** 32
      const expected = Math.sqrt(-2 * Math.log(a)) * (i & 1 ? Math.sin(2 * Math.PI * b) : Math.cos(2 * Math.PI * b))
      expect(Math.abs(normal(5, 's', i) - expected)).toBeLessThan(1e-13)
    }
  })

  it('truncated normal stays inside and leaves the others alone', () => {
    const t = fillTruncatedNormal(new Float32Array(20_000), 9, 't', 0.02, 2),
      n = fillNormal(new Float32Array(20_000), 9, 't', 0.02)
    let redrawn = 0
    for (let i = 0; i < t.length; i++) {
      expect(Math.abs(t[i])).toBeLessThanOrEqual(0.04 + 1e-9)
      if (t[i] !== n[i]) redrawn++
      if (Math.abs(n[i]) < 0.0399) expect(t[i]).toBe(n[i])
    }
    expect(redrawn / t.length).toBeGreaterThan(0.03) // 4.6 % lie outside two standard deviations
    expect(redrawn / t.length).toBeLessThan(0.06)
  })

  it('permutation is one, and beta is symmetric', () => {
    const order = permutation(1000, 4, 'epoch 1')
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(1000).keys()])
    expect(permutation(1000, 4, 'epoch 2')).not.toEqual(order)
    const draw = random(8, 0)
    for (const [a, variance] of [[0.2, 1 / (4 * 1.4)], [0.8, 1 / (4 * 2.6)], [3, 1 / (4 * 7)]]) {
      const values = Array.from({ length: 20_000 }, () => draw.beta(a))
      const mean = values.reduce((s, v) => s + v, 0) / values.length
      expect(Math.abs(mean - 0.5)).toBeLessThan(0.01)
      expect(Math.abs(values.reduce((s, v) => s + (v - 0.5) ** 2, 0) / values.length - variance)).toBeLessThan(0.01)
    }
  })
})

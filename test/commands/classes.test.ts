import { describe, expect, test } from 'vitest'
import { classOf, networkClasses } from '../../src/commands/classes.ts'

describe('--class', () => {
  const birds = { count: 5, names: ['tench', 'crane', '1', 'crane', 'kite, bird'] }
  test.each([['0', 0], ['tench', 0], ['TENCH', 0], ['bird', 4], ['id:1', 1], ['name:1', 2], ['4', 4]] as const)(
    '%s is class %i',
    (text, at) => {
      expect(classOf(text, birds)).toBe(at)
    },
  )

  test('what may mean several classes is refused with the choices', () => {
    expect(() => classOf('crane', birds)).toThrow(/several classes.*1 \("crane"\), 3 \("crane"\)/)
    expect(() => classOf('1', birds)).toThrow(/number 1 is "crane", and 2 \("1"\) has that name; say id:1 or name:1/)
    expect(() => classOf('finch', birds)).toThrow(/no class of that name/)
    expect(() => classOf('5', birds)).toThrow(/from 0 to 4/)
  })

  test('digits named by themselves are what they say', () => {
    const digits = { count: 10, names: Array.from({ length: 10 }, (_, i) => String(i)) }
    expect(classOf('7', digits)).toBe(7)
  })

  test('a network of 1,000 classes without names has those of ImageNet', () => {
    const known = networkClasses({ classCount: 1000 })
    expect(classOf('toilet tissue', known)).toBe(999)
    expect(classOf('n01440764', known)).toBe(0)
    expect(() => classOf('crane', known)).toThrow(/134 \("crane"\), 517 \("crane"\)/)
    expect(networkClasses({ classCount: 10 }).names).toBeUndefined()
  })
})

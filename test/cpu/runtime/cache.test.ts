// The compiler's memory: what is asked for again is not made again, what differs in anything is.
import { expect, test } from 'vitest'
import { type Compiler, cached } from '../../../src/cpu/runtime/cache.ts'

function counting() {
  const made: string[] = []
  const inner: Compiler = {
    analyse: (source) => (made.push(source), { source } as never),
    compile: (_, options) => (made.push(JSON.stringify(options)), { number: made.length } as never),
  }
  return { made, compiler: cached(inner) }
}
const none = new Set<string>()

test('modules by text and by whether halves are on', () => {
  const { made, compiler } = counting(), first = compiler.analyse('a', none)
  expect(compiler.analyse('a', new Set())).toBe(first)
  expect(compiler.analyse('a', new Set(['shader-f16']))).not.toBe(first)
  expect(made).toHaveLength(2)
})

test('kernels by every option and by the text, whatever the order of the constants', () => {
  const { made, compiler } = counting(), module = compiler.analyse('a', none), other = compiler.analyse('b', none)
  made.length = 0
  const base = { entryPoint: 'main', sharedMemory: true, constants: { X: 1, Y: 2 } }
  const first = compiler.compile(module, base)
  expect(compiler.compile(module, { ...base, constants: { Y: 2, X: 1 } })).toBe(first)
  for (
    const options of [{ ...base, entryPoint: 'b' }, { ...base, mode: 'race' as const }, { ...base, relaxed: true }, {
      ...base,
      sharedMemory: false,
    }, { ...base, constants: { X: 1, Y: 3 } }]
  ) {
    expect(compiler.compile(module, options)).not.toBe(first)
  }
  expect(compiler.compile(other, base)).not.toBe(first)
  expect(made).toHaveLength(7)
})

test('of many the least recently used goes', () => {
  const { made, compiler } = counting()
  for (let i = 0; i < 512; i++) compiler.analyse(`${i}`, none)
  compiler.analyse('0', none) // young again
  compiler.analyse('new', none)
  made.length = 0
  compiler.analyse('0', none)
  expect(made).toEqual([])
  compiler.analyse('1', none)
  expect(made).toEqual(['1'])
})

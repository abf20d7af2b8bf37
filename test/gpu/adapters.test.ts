// Which adapter a choice leads to, and what people are told where it leads to none.
import { expect, test } from 'vitest'
import { AdapterError, InputError } from '../../src/base/errors.ts'
import { env, findAdapter, nameOf } from '../../src/gpu/adapters.ts'

test('the embedded device: by its name in any case, by part of what it calls itself, by a mode', async () => {
  for (const choice of [{ adapter: 'CPU' }, { mode: 'race' as const }]) {
    expect((await findAdapter({ ...choice, threads: 1 })).kind).toBe('embedded')
  }
})

test('an adapter that nobody has is refused, with those that are here', async () => {
  const refusal = await findAdapter({ adapter: 'no such adapter', threads: 1 }).then(
    () => null,
    (error: Error) => error,
  )
  expect(refusal).toBeInstanceOf(AdapterError)
  expect(refusal!.message).toMatch(/^no adapter matches 'no such adapter'; here: .*cpu \(/)
})

test('threads out of range are the input', async () => {
  await expect(findAdapter({ adapter: 'cpu', threads: 0.5 })).rejects.toBeInstanceOf(InputError)
})

test('a name is what is known of an adapter', () => {
  const info = { description: 'llvmpipe', device: '', vendor: 'mesa', architecture: '' }
  expect(nameOf({ info } as unknown as GPUAdapter)).toBe('llvmpipe, mesa')
})

test('environment variables', () => {
  process.env.ESPALIER_TEST_ONE = 'x'
  expect(env('ESPALIER_TEST_ONE')).toBe('x')
  delete process.env.ESPALIER_TEST_ONE
  expect(env('ESPALIER_TEST_ONE')).toBeUndefined()
})

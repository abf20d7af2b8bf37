import { expect, test } from 'vitest'
import { probeDawn, readProbe } from '../../../src/commands/doctor/probe.ts'
import { describeDawn } from '../../support/dawn.ts'

test('adapters named before a crash are kept, and the crash is told', () => {
  const output = '{"asking":"a"}\n{"name":"a","backend":"vulkan"}\na driver talks\n{"asking":"b"}\n{"name":"b","ba'
  const probe = readProbe(
    output,
    'Warning: x artificially reduced from 1 to 2\nWarning: boom\nWarning: boom\n    at F (/a/b.cpp:1)\n',
    'it was ended by SIGSEGV',
  )
  expect(probe.adapters.map(({ name }) => name)).toEqual(['a'])
  expect(probe.messages).toEqual(['boom'])
  expect(probe.failure).toBe("the search for adapters stopped while it tried adapter 'b': it was ended by SIGSEGV")
})

test('a dawn that does not load is told', () => {
  expect(readProbe('{"broken":"libfoo.so: not found"}\n', '', 'it ended with code 1').failure).toMatch(
    /did not load: libfoo\.so: not found/,
  )
})

test('a search that takes too long is given up', async () => {
  const probe = await probeDawn({ timeout: 1 })
  expect(probe.adapters).toEqual([])
  expect(probe.failure).toMatch(/no answer within 0\.001 s/)
})

test('without any driver the search ends in order', async () => {
  const nothing = '/nonexistent/icd.json'
  const probe = await probeDawn({ env: { ...process.env, VK_DRIVER_FILES: nothing, VK_ICD_FILENAMES: nothing } })
  expect(probe.failure).toBeNull()
  if (process.platform === 'linux') expect(probe.adapters).toEqual([])
})

describeDawn('with an adapter', () => {
  test('it is described, and it computes', async () => {
    const { adapters, failure } = await probeDawn()
    expect(failure).toBeNull()
    const working = adapters.filter((adapter) => adapter.failure === null)
    expect(working.length).toBeGreaterThan(0)
    expect(working[0].limits.maxComputeInvocationsPerWorkgroup).toBeGreaterThanOrEqual(256)
    expect(working[0].features).toContain('core-features-and-limits')
    expect(working[0].name).not.toBe('')
  })
})

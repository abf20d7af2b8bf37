import { beforeAll, describe, expect, test } from 'vitest'
import { bundleForNode, runNode } from '../../support/cli.ts'
import { describeDawn } from '../../support/dawn.ts'

let file = ''
beforeAll(async () => {
  file = await bundleForNode('src/cli.ts', 'doctor')
})

const nowhere = { VK_DRIVER_FILES: '/nonexistent/icd.json', VK_ICD_FILENAMES: '/nonexistent/icd.json' }

describeDawn('where there is an adapter', () => {
  test('doctor describes it', async () => {
    const { code, stdout } = await runNode(file, ['doctor'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/works {7}yes/)
    expect(stdout).toMatch(/cpu \(embedded device\)/)
    for (const word of ['speed', 'driver', 'f16', 'subgroups', 'timestamps', 'limits', 'workgroup memory']) {
      expect(stdout).toContain(word)
    }
  })

  test('--json gives the same as one object, and --adapter picks', async () => {
    const all = JSON.parse((await runNode(file, ['doctor', '--json'])).stdout)
    expect(all.problem).toBeNull()
    const [{ name, limits, f16 }] = all.adapters
    expect(limits.maxStorageBufferBindingSize).toBeGreaterThan(0)
    expect(typeof f16).toBe('boolean')
    const one = JSON.parse(
      (await runNode(file, ['doctor', '--json', '--adapter', name.slice(0, 5).toUpperCase()])).stdout,
    )
    expect(one.adapters.map((adapter: { name: string }) => adapter.name)).toContain(name)
  })

  test('an adapter that is not here ends with 3 and the list of those that are', async () => {
    const { adapters } = JSON.parse((await runNode(file, ['doctor', '--json'])).stdout)
    const { code, stderr, stdout } = await runNode(file, ['doctor', '--adapter', 'no such thing'])
    expect(code).toBe(3)
    expect(stdout).toBe('')
    expect(stderr).toContain(`'no such thing'`)
    expect(stderr).toContain(adapters[0].name)
  })

  test('--fix has nothing to do', async () => {
    expect(await runNode(file, ['doctor', '--fix'])).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/nothing needs to be installed/),
    })
  })
})

// The loader's own variable hides every driver, which only works where Vulkan is what dawn uses.
describe.runIf(process.platform === 'linux')('where dawn finds no adapter', () => {
  test('doctor says that the embedded device is used, why there is no other, and what to do', async () => {
    const { code, stdout } = await runNode(file, ['doctor', '--json'], nowhere)
    expect(code).toBe(0)
    const { adapters, problem, chosen } = JSON.parse(stdout)
    expect(adapters).toMatchObject([{ name: 'cpu', backend: 'embedded', failure: null }])
    expect(adapters[0].speed.gflops).toBeGreaterThan(0)
    expect(adapters[0].speed.gbps).toBeGreaterThan(0)
    expect(chosen).toBe('cpu')
    expect(problem.why).toMatch(/no ICD file|no Vulkan loader/)
    expect(problem.cure).toMatch(/VK_DRIVER_FILES/)
  })

  test('people read the same', async () => {
    const { code, stdout } = await runNode(file, ['doctor'], nowhere)
    expect(code).toBe(0)
    expect(stdout).toMatch(/cpu \(embedded device\)\n {2}works {7}yes/)
    expect(stdout).toMatch(/speed {7}[\d.e+]+ GFLOP\/s .*, [\d.e+]+ GB\/s/)
    expect(stdout).toMatch(/the embedded device \('cpu'\) is used/)
  })

  test('--fix says what it cannot mend', async () => {
    const fixed = await runNode(file, ['doctor', '--fix', '--yes'], nowhere)
    expect(fixed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/--fix cannot mend that: unset VK_DRIVER_FILES/),
    })
  })
})

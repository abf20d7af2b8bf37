// The debug modes over our own kernels: every op family at a few shapes, forward and backward, must stay in bounds
// (buffers are exactly as long as their tensors here), must not race, and must compute the same in reverse order.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { CpuDevice, Finding } from '../../../src/cpu/index.ts'
import { close, gpu, init } from '../../../src/gpu/device.ts'
import { KernelError } from '../../../src/base/errors.ts'
import { declaredKernels, kernelFromText } from '../../../src/gpu/kernel.ts'
import { launch } from '../../../src/core/launch.ts'
import { empty } from '../../../src/core/tensor.ts'
import { force, rowsTaken, variantTables } from '../../../src/ops/shared/variants.ts'
import { opCase } from '../../support/golden.ts'
import { type Check, goldenChecks, shapeChecks } from '../../support/op-checks.ts'

const checks = [...shapeChecks(), ...goldenChecks(opCase)]

/** Lines that read past a tensor on purpose: what they get there is used for outputs that are not stored. */
// conv2d/registers.wgsl, reduce.wgsl
const harmless = [/pixels\[t\] = x\[at \+ t\]/, /return vec4f\(x\[at\.x \/ 4u\]\[at\.x % 4u\], /]

// Every row of every table of variants, whatever this adapter would choose.
const rows = variantTables().flatMap((table) => table.rows.map(({ name }) => ({ table, name })))

const users = new Map<object, Check[]>()
beforeAll(async () => {
  await init({ adapter: 'cpu', fixedVariants: true })
  for (const check of checks) {
    for (const table of (await rowsTaken(() => check.run())).keys()) {
      users.set(table, [...users.get(table) ?? [], check])
    }
  }
  await close()
}, 300_000)

/** Two of the checks that choose from a table, one in the middle and the last one. */
function usersOf(table: object): Check[] {
  const all = users.get(table) ?? []
  expect(all.length, 'checks that choose from this table').toBeGreaterThan(0)
  return all.filter((_, i) => i === all.length - 1 || i === Math.floor(all.length / 2) - 1)
}

const linesOf = (findings: Finding[]) =>
  findings.map(({ kernel, line, message }) => {
    const text = declaredKernels().find(({ label }) => kernel.startsWith(label))?.source.split('\n')[line - 1].trim()
      ?? ''
    return `${message}: ${text}`
  })

for (const mode of ['race', 'permuted'] as const) {
  describe(`${mode} mode`, () => {
    beforeAll(async () => {
      await init({ mode, fixedVariants: true })
    })
    afterAll(close)
    for (const { name, tolerance, run } of checks) {
      test(name, async () => {
        // a finding is an error of the device too, so the read-back inside would already throw
        expect(await run()).toBeLessThanOrEqual(tolerance)
        expect((gpu().device as CpuDevice).takeFindings()).toEqual([])
      })
    }
    test.for(rows)('$table.name by $name', async ({ table, name }, context) => {
      const taken = new Set<string>()
      force(table, name)
      try {
        for (const { run, tolerance } of usersOf(table)) {
          const found = await rowsTaken(async () => {
            expect(await run()).toBeLessThanOrEqual(tolerance)
          })
          found.get(table)?.forEach((row) => taken.add(row))
        }
      } finally {
        force(table, null)
      }
      expect((gpu().device as CpuDevice).takeFindings()).toEqual([])
      if (!taken.has(name)) context.skip('this device cannot run it')
    })
  })
}

describe('bounds mode', () => {
  // A device each: after an error it computes no more.
  beforeEach(async () => {
    await init({ mode: 'bounds', fixedVariants: true })
  })
  afterEach(close)
  const inBounds = async ({ tolerance, run }: Check) => {
    const outcome = await run().catch((error: Error) => error)
    const found = linesOf((gpu().device as CpuDevice).takeFindings())
    expect(found.filter((line) => !harmless.some((known) => known.test(line)))).toEqual([])
    if (found.length) expect(outcome).toBeInstanceOf(KernelError)
    else expect(outcome).toBeLessThanOrEqual(tolerance)
  }
  for (const check of checks) test(check.name, () => inBounds(check))
  test.each(rows)('$table.name by $name', async ({ table, name }) => {
    force(table, name)
    try {
      for (const check of usersOf(table)) {
        await close()
        await init({ mode: 'bounds', fixedVariants: true })
        await inBounds(check)
      }
    } finally {
      force(table, null)
    }
  })
})

test('an off-by-one store past a tensor is seen, because nothing is rounded up', async () => {
  await init({ mode: 'bounds' })
  try {
    const shifted = kernelFromText(
      'shifted.wgsl',
      `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { y[id.x + 1u] = 1.0; }`,
      { buffers: ['y'] },
    )
    const y = empty([8])
    launch(shifted, { y }, {}, [2])
    await expect(y.data()).rejects.toThrow(/line 2: index 8 is out of bounds, there are 8 elements/)
  } finally {
    await close()
  }
})

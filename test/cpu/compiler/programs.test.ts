// The conformance table on the embedded device, in every mode that must not change results.
import { describe, expect, it } from 'vitest'
import { mismatch } from '../../support/program.ts'
import type { Program } from '../../support/program.ts'
import { builtinPrograms } from './programs-builtins.ts'
import { constantPrograms } from './programs-constants.ts'
import { languagePrograms } from './programs-language.ts'
import { runKernel } from '../../support/runner.ts'

const modes = [{ mode: 'fast' }, { mode: 'permuted' }, { relaxed: true }, {
  mode: 'deterministic',
  sharedMemory: false,
}] as const

function failures(program: Program): string[] {
  return modes.flatMap((options) => {
    const { out } = runKernel(program.source, program.inputs, {
      groups: program.groups,
      constants: program.constants,
      ...options,
    })
    return Object.entries(program.expected).flatMap(([name, expected]) => {
      const got = new (expected.constructor as typeof Float32Array)(out[name])
      const wrong = mismatch(got, expected, program.ulp, program.abs)
      return wrong ? [`${JSON.stringify(options)} ${name}${wrong}`] : []
    })
  })
}

describe('conformance programs on the embedded device', () => {
  for (const program of [...builtinPrograms, ...constantPrograms, ...languagePrograms]) {
    it(program.name, () => {
      expect(failures(program)).toEqual([])
    })
  }
  it('are at least 150', () => {
    expect(builtinPrograms.length + languagePrograms.length).toBeGreaterThanOrEqual(150)
  })
})

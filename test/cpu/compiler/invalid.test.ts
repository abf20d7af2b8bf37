// Programs the compiler must refuse, with the right line and a message that names the mistake; and what it does not
// support.
import { describe, expect, it } from 'vitest'
import { WgslError } from '../../../src/cpu/abi.ts'
import { analyse, compile } from '../../../src/cpu/compiler/compile.ts'
import { invalidPrograms, validPrograms } from './invalid-programs.ts'

function refusal(source: string): WgslError {
  try {
    analyse(source)
  } catch (error) {
    if (error instanceof WgslError) return error
    throw error
  }
  throw new Error(`accepted: ${source}`)
}

describe('invalid programs are refused', () => {
  for (const { name, source, line, message } of invalidPrograms) {
    it(name, () => {
      const error = refusal(source)
      expect(error.message).toMatch(message)
      expect(error.line).toBe(line)
      expect(error.column).toBeGreaterThan(0)
    })
  }
  it('are at least 60', () => {
    expect(invalidPrograms.length).toBeGreaterThanOrEqual(60)
  })
  it('all errors of a module are listed', () => {
    const error = refusal(
      'fn f() { let x = y; }\nfn g() { let x: f32 = 1u; }\n@compute @workgroup_size(1) fn main() {}',
    )
    expect(error.errors.map((e) => e.line)).toEqual([1, 2])
  })
})

describe('valid programs are accepted', () => {
  for (const { name, source } of validPrograms) {
    it(name, () => {
      expect(compile(analyse(source), { sharedMemory: false }).wasm.length).toBeGreaterThan(0)
    })
  }
})

describe('what the embedded device does not know', () => {
  it.each([
    ['@vertex fn main() {}', /vertex/],
    ['@group(0) @binding(0) var t: texture_2d<f32>;', /texture/],
    ['enable subgroups;', /subgroups/],
    ['@compute @workgroup_size(1) fn main() { let x = dpdx(1.0); }', /dpdx/],
    ['@compute @workgroup_size(1) fn main() { discard; }', /discard/],
  ])('%s', (source, message) => {
    const error = refusal(source)
    expect(error.message).toMatch(message)
    expect(error.message).toMatch(/not supported on the embedded device/)
  })
})

describe('pipeline constants', () => {
  const module = analyse(
    `override A: u32; @id(3) override B: i32 = 2; override N: u32 = 4;
var<workgroup> w: array<f32, N>;
@compute @workgroup_size(N) fn main() {
  w[A] = f32(B);
}`,
  )
  const attempt = (constants: Record<string, number>) => () => compile(module, { constants, sharedMemory: false })
  it('lists overrides', () => {
    expect(module.overrides.map((o) => [o.name, o.id, o.type, o.hasDefault])).toEqual([['A', null, 'u32', false], [
      'B',
      3,
      'i32',
      true,
    ], ['N', null, 'u32', true]])
  })
  it('needs a value where there is no default', () => {
    expect(attempt({})).toThrow(/'A' has no default/)
  })
  it('refuses names that do not exist', () => {
    expect(attempt({ A: 1, C: 2 })).toThrow(/no override 'C'/)
  })
  it('refuses the name of an override that has an id', () => {
    expect(attempt({ A: 1, B: 2 })).toThrow(/no override 'B'/)
  })
  it('refuses numbers that do not fit', () => {
    expect(attempt({ A: -1 })).toThrow(/does not fit/)
    expect(attempt({ A: NaN })).toThrow(/finite/)
  })
  it('refuses an array length or workgroup size of zero', () => {
    expect(attempt({ A: 1, N: 0 })).toThrow(/at least 1|between 1/)
  })
  it('takes what fits', () => {
    expect(attempt({ A: 1, 3: -7, N: 8 })().workgroupSize).toEqual([8, 1, 1])
  })
})

// The binary format: LEB128 against decoders written here, and a module that an engine takes and runs.
import { expect, test } from 'vitest'
import { Code, encodeModule } from '../../../src/cpu/compiler/encode.ts'

const bytesOf = (code: Code) => [...code.bytes.subarray(0, code.length)]

test('unsigned and signed numbers are read back', () => {
  for (const value of [0, 1, 63, 64, 127, 128, 16383, 16384, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
    const unsigned = bytesOf(new Code().u(value)).reduceRight((rest, byte) => rest * 128 + (byte & 0x7f), 0)
    expect(unsigned).toBe(value)
  }
  for (const value of [0, 1, -1, 63, 64, -64, -65, 8191, -8192, 2 ** 31 - 1, -(2 ** 31)]) {
    const bytes = bytesOf(new Code().s(value)), bits = 7 * bytes.length
    const raw = bytes.reduceRight((rest, byte) => rest * 128n + BigInt(byte & 0x7f), 0n)
    expect(Number(BigInt.asIntN(bits, raw))).toBe(value)
    expect(bytes.slice(0, -1).every((byte) => byte & 0x80)).toBe(true)
    expect(bytes.at(-1)! & 0x80).toBe(0)
  }
})

test('a buffer grows', () => {
  const code = new Code()
  for (let i = 0; i < 5000; i++) code.byte(i & 255)
  expect(bytesOf(code).every((byte, i) => byte === (i & 255))).toBe(true)
  expect(code.length).toBe(5000)
})

test('an instruction that does not exist is refused', () => {
  expect(() => new Code().op('i32.nonsense')).toThrow('unknown instruction i32.nonsense')
})

test('a module runs: memory, imports, locals and constants of every kind', () => {
  const body = new Code()
  // memory[p0] = p1 * 3 + trunc(2.5); memory[p0 + 16] = (1, 2, 3, 4); tick(77)
  body.get(0).get(1).i32(3).op('i32.mul').f32(2.5).op('i32.trunc_sat_f32_s').op('i32.add').tee(4).memory('i32.store', 0)
  body.v128([1, 2, 3, 4]).set(5).get(0).get(5).memory('v128.store', 16)
  body.i32(77).call(0)
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 }), ticks: number[] = []
  const bytes = encodeModule([{ params: ['i32', 'i32', 'i32', 'i32'], results: [], locals: ['i32', 'v128'], body }], {
    sharedMemory: false,
    report: true,
  })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), {
    env: { memory, tick: (line: number) => ticks.push(line), report: () => undefined },
  })
  ;(instance.exports.run as (...args: number[]) => void)(64, -5, 0, 0)
  const words = new Int32Array(memory.buffer)
  expect([words[16], ...words.subarray(20, 24)]).toEqual([-13, 1, 2, 3, 4])
  expect(ticks).toEqual([77])
})

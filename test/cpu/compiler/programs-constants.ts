// Builtins of constants: what the compiler computes is what the same call computes at run time.
import type { Program } from '../../support/program.ts'

/** Bits of a result, as words. */
type Bits = number[]

/**
 * A call with `#` for each argument; its arguments as WGSL text of a type, and the bits of the result; why a driver has
 * others.
 */
type Row = [call: string, type: string, args: string[], result: string, expected: Bits, differs?: string]

const f32 = (...values: number[]): Bits => [...new Uint32Array(Float32Array.from(values).buffer)]
const u32 = (...values: number[]): Bits => [...Uint32Array.from(values)]

const rows: Row[] = [
  ['dot4U8Packed(#, #)', 'u32', ['0x01020384u', '0x05060708u'], 'u32', u32(5 + 12 + 21 + 0x84 * 8)],
  ['dot4I8Packed(#, #)', 'u32', ['0x01020384u', '0x05060708u'], 'i32', u32(5 + 12 + 21 - 124 * 8)],
  ['firstLeadingBit(#)', 'i32', ['-3'], 'i32', u32(1)],
  ['firstLeadingBit(#)', 'i32', ['-1'], 'i32', u32(-1)],
  ['firstLeadingBit(#)', 'u32', ['0x00f0u'], 'u32', u32(7)],
  ['extractBits(#, 4u, 4u)', 'i32', ['0x00f0'], 'i32', u32(-1)],
  ['extractBits(#, 28u, 4u)', 'u32', ['0xa0000000u'], 'u32', u32(10)],
  ['extractBits(#, 0u, 32u)', 'u32', ['0xa0000001u'], 'u32', u32(0xa0000001)],
  ['extractBits(#, 32u, 0u)', 'i32', ['-1'], 'i32', u32(0)],
  ['insertBits(#, #, 8u, 8u)', 'u32', ['0xffffffffu', '0x12u'], 'u32', u32(0xffff12ff)],
  ['insertBits(#, #, 0u, 32u)', 'i32', ['1', '-7'], 'i32', u32(-7)],
  [
    'pack4x8snorm(#)',
    'vec4f',
    ['vec4f(1.0, -1.0, 0.25, -3.0)'],
    'u32',
    u32(0x812081 << 8 | 0x7f),
    'Mesa, where it folds constants, ors bytes of negative lanes with their sign: 0xffff817f; of variables it is right',
  ],
  ['pack4x8unorm(#)', 'vec4f', ['vec4f(1.0, 0.5, -1.0, 2.0)'], 'u32', u32(0xff0080ff)],
  ['pack4xI8(#)', 'vec4i', ['vec4i(1, -1, 300, -128)'], 'u32', u32(0x802cff01)],
  ['pack4xU8(#)', 'vec4u', ['vec4u(1, 255, 300, 7)'], 'u32', u32(0x072cff01)],
  ['pack4xI8Clamp(#)', 'vec4i', ['vec4i(1, -1, 300, -300)'], 'u32', u32(0x807fff01)],
  ['pack4xU8Clamp(#)', 'vec4u', ['vec4u(1, 255, 300, 7)'], 'u32', u32(0x07ffff01)],
  ['pack2x16snorm(#)', 'vec2f', ['vec2f(1.0, -1.0)'], 'u32', u32(0x80017fff)],
  ['pack2x16unorm(#)', 'vec2f', ['vec2f(1.0, 0.0)'], 'u32', u32(0xffff)],
  ['pack2x16float(#)', 'vec2f', ['vec2f(1.0, -2.5)'], 'u32', u32(0xc1003c00)],
  ['unpack4x8snorm(#)', 'u32', ['0x7f8100c1u'], 'vec4f', f32(-63 / 127, 0, -1, 1)],
  ['unpack4x8unorm(#)', 'u32', ['0xff003380u'], 'vec4f', f32(128 / 255, 0.2, 0, 1)],
  ['unpack4xI8(#)', 'u32', ['0x7f80ff01u'], 'vec4i', u32(1, -1, -128, 127)],
  ['unpack4xU8(#)', 'u32', ['0x7f80ff01u'], 'vec4u', u32(1, 255, 128, 127)],
  ['unpack2x16snorm(#)', 'u32', ['0x80017fffu'], 'vec2f', f32(1, -1)],
  ['unpack2x16unorm(#)', 'u32', ['0xffff0000u'], 'vec2f', f32(0, 1)],
  ['unpack2x16float(#)', 'u32', ['0xc1003c00u'], 'vec2f', f32(1, -2.5)],
  ['reflect(#, #)', 'vec2f', ['vec2f(1.0, -1.0)', 'vec2f(0.0, 1.0)'], 'vec2f', f32(1, 1)],
  ['refract(#, #, 1.0)', 'vec2f', ['vec2f(0.0, -1.0)', 'vec2f(0.0, 1.0)'], 'vec2f', f32(0, -1)],
  ['refract(#, #, 2.0)', 'vec2f', ['vec2f(1.0, 0.0)', 'vec2f(0.0, 1.0)'], 'vec2f', f32(0, 0)],
  ['faceForward(#, #, #)', 'vec2f', ['vec2f(1.0, 2.0)', 'vec2f(1.0, 0.0)', 'vec2f(3.0, 0.0)'], 'vec2f', f32(-1, -2)],
  ['transpose(#)[1]', 'mat2x3f', ['mat2x3f(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)'], 'vec2f', f32(2, 5)],
  ['determinant(#)', 'mat2x2f', ['mat2x2f(1.0, 2.0, 3.0, 4.0)'], 'f32', f32(-2)],
  ['determinant(#)', 'mat3x3f', ['mat3x3f(2.0, 0.0, 1.0, 0.0, 3.0, 0.0, 1.0, 0.0, 4.0)'], 'f32', f32(21)],
  ['ldexp(#, 3)', 'f32', ['1.25'], 'f32', f32(10)],
  ['frexp(#).fract', 'f32', ['-12.0'], 'f32', f32(-0.75)],
  ['frexp(#).exp', 'f32', ['-12.0'], 'i32', u32(4)],
  ['frexp(#).exp', 'vec2f', ['vec2f(0.0, 8.0)'], 'vec2i', u32(0, 4)],
  ['modf(#).fract', 'vec2f', ['vec2f(-1.25, 3.5)'], 'vec2f', f32(-0.25, 0.5)],
  ['modf(#).whole', 'f32', ['-1.25'], 'f32', f32(-1)],
  ['bitcast<i32>(#)', 'f32', ['-2.0'], 'i32', u32(0xc0000000)],
  ['bitcast<vec2f>(#)', 'vec2u', ['vec2u(0x3f800000u, 0xc0000000u)'], 'vec2f', f32(1, -2)],
]

/** One program per call: `o` gets the result computed by the compiler, then that of the run. */
export const constantPrograms: Program[] = rows.map(([call, type, args, result, expected, differs]) => {
  const size = expected.length
  const withArgs = (names: string[]) => {
    let at = 0
    return call.replace(/#/g, () => names[at++])
  }
  const words = (name: string, from: number) =>
    expected.map((_, i) => `o[${from + i}] = bitcast<u32>(${size > 1 ? `${name}[${i}]` : name});`).join(' ')
  return {
    name: `constant ${withArgs(args)}`,
    source: `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
const folded: ${result} = ${withArgs(args)};
${args.map((arg, i) => `var<private> a${i}: ${type} = ${arg};`).join('\n')}
@compute @workgroup_size(1) fn main() {
  let ran = ${withArgs(args.map((_, i) => `a${i}`))};
  ${words('folded', 0)}
  ${words('ran', size)}
}`,
    inputs: { o: new Uint32Array(2 * size) },
    expected: { o: Uint32Array.from([...expected, ...expected]) },
    ...differs !== undefined && { differs },
  }
})

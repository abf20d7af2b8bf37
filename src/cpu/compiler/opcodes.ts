// WASM instructions by name: their bytes and what they leave on the stack.

/** Value types of WASM that the compiler uses. */
export type WasmType = 'i32' | 'f32' | 'v128'
/** `prefix` 0 means the opcode is a single byte. */
export interface Opcode {
  prefix: number
  code: number
  result: WasmType
}

/** Every instruction without immediates (or with a lane) that the compiler emits. */
export const opcodes = new Map<string, Opcode>()
const add = (prefix: number, first: number, result: WasmType | null, names: string) => {
  for (const [i, name] of names.split(' ').entries()) {
    if (name !== '-') {
      opcodes.set(name, { prefix, code: first + i, result: result ?? (name.startsWith('f32') ? 'f32' : 'i32') })
    }
  }
}
add(0, 0x45, 'i32', 'i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u')
add(0, 0x5b, 'i32', 'f32.eq f32.ne f32.lt f32.gt f32.le f32.ge')
add(
  0,
  0x67,
  'i32',
  'i32.clz i32.ctz i32.popcnt i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and '
    + 'i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr',
)
add(
  0,
  0x8b,
  'f32',
  'f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt f32.add f32.sub f32.mul f32.div '
    + 'f32.min f32.max f32.copysign',
)
add(0, 0xb2, 'f32', 'f32.convert_i32_s f32.convert_i32_u')
add(0, 0xbc, 'i32', 'i32.reinterpret_f32')
add(0, 0xbe, 'f32', 'f32.reinterpret_i32')
add(0xfc, 0, 'i32', 'i32.trunc_sat_f32_s i32.trunc_sat_f32_u')
add(0xfd, 14, 'v128', 'i8x16.swizzle i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat')
add(0xfd, 0x1b, null, 'i32x4.extract_lane i32x4.replace_lane - - f32x4.extract_lane f32x4.replace_lane')
opcodes.get('i32x4.replace_lane')!.result = opcodes.get('f32x4.replace_lane')!.result = 'v128'
add(
  0xfd,
  0x37,
  'v128',
  'i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u i32x4.ge_s i32x4.ge_u '
    + 'f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge',
)
add(0xfd, 0x4d, 'v128', 'v128.not v128.and v128.andnot v128.or v128.xor v128.bitselect')
add(0xfd, 0x53, 'i32', 'v128.any_true')
add(0xfd, 0x62, 'v128', 'i8x16.popcnt')
add(0xfd, 0x67, 'v128', 'f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest')
add(
  0xfd,
  0x7c,
  'v128',
  'i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s '
    + 'i32x4.extadd_pairwise_i16x8_u',
)
add(0xfd, 0x85, 'v128', 'i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u')
add(0xfd, 0xa0, 'v128', 'i32x4.abs i32x4.neg')
opcodes.set('i32x4.all_true', { prefix: 0xfd, code: 0xa3, result: 'i32' })
opcodes.set('i32x4.bitmask', { prefix: 0xfd, code: 0xa4, result: 'i32' })
add(
  0xfd,
  0xa7,
  'v128',
  'i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u '
    + 'i32x4.shl i32x4.shr_s i32x4.shr_u i32x4.add',
)
add(0xfd, 0xb1, 'v128', 'i32x4.sub')
add(0xfd, 0xb5, 'v128', 'i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u')
add(
  0xfd,
  0xe0,
  'v128',
  'f32x4.abs f32x4.neg - f32x4.sqrt f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max f32x4.pmin f32x4.pmax',
)
add(0xfd, 0xf8, 'v128', 'i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u')
add(0xfd, 0x105, 'v128', 'f32x4.relaxed_madd f32x4.relaxed_nmadd')

/** Instructions that read or write memory; `align` is the exponent of the natural alignment. */
export const memoryOps: Record<
  string,
  { prefix: number, code: number, align: number, result: WasmType, lane?: boolean }
> = {
  'i32.load': { prefix: 0, code: 0x28, align: 2, result: 'i32' },
  'f32.load': { prefix: 0, code: 0x2a, align: 2, result: 'f32' },
  'i32.load16_u': { prefix: 0, code: 0x2f, align: 1, result: 'i32' },
  'i32.store': { prefix: 0, code: 0x36, align: 2, result: 'i32' },
  'f32.store': { prefix: 0, code: 0x38, align: 2, result: 'f32' },
  'i32.store16': { prefix: 0, code: 0x3b, align: 1, result: 'i32' },
  'v128.load': { prefix: 0xfd, code: 0, align: 4, result: 'v128' },
  'v128.load16x4_u': { prefix: 0xfd, code: 4, align: 3, result: 'v128' },
  'v128.load32_splat': { prefix: 0xfd, code: 9, align: 2, result: 'v128' },
  'v128.store': { prefix: 0xfd, code: 11, align: 4, result: 'v128' },
  'v128.load32_zero': { prefix: 0xfd, code: 0x5c, align: 2, result: 'v128' },
  'v128.load64_zero': { prefix: 0xfd, code: 0x5d, align: 3, result: 'v128' },
  'v128.load32_lane': { prefix: 0xfd, code: 0x56, align: 2, result: 'v128', lane: true },
  'v128.store16_lane': { prefix: 0xfd, code: 0x59, align: 1, result: 'v128', lane: true },
  'v128.store32_lane': { prefix: 0xfd, code: 0x5a, align: 2, result: 'v128', lane: true },
  'v128.store64_lane': { prefix: 0xfd, code: 0x5b, align: 3, result: 'v128', lane: true },
  'i32.atomic.load': { prefix: 0xfe, code: 0x10, align: 2, result: 'i32' },
  'i32.atomic.store': { prefix: 0xfe, code: 0x17, align: 2, result: 'i32' },
  'i32.atomic.rmw.add': { prefix: 0xfe, code: 0x1e, align: 2, result: 'i32' },
  'i32.atomic.rmw.sub': { prefix: 0xfe, code: 0x25, align: 2, result: 'i32' },
  'i32.atomic.rmw.and': { prefix: 0xfe, code: 0x2c, align: 2, result: 'i32' },
  'i32.atomic.rmw.or': { prefix: 0xfe, code: 0x33, align: 2, result: 'i32' },
  'i32.atomic.rmw.xor': { prefix: 0xfe, code: 0x3a, align: 2, result: 'i32' },
  'i32.atomic.rmw.xchg': { prefix: 0xfe, code: 0x41, align: 2, result: 'i32' },
  'i32.atomic.rmw.cmpxchg': { prefix: 0xfe, code: 0x48, align: 2, result: 'i32' },
}

// 16-bit floats to and from float32: IEEE half (5 exponent bits) and bfloat16 (the upper half of a float32).

let halfTable: Float32Array | undefined

// All 65536 halves as float32, made once: a look-up is three times faster than the arithmetic.
function table(): Float32Array {
  if (halfTable) return halfTable
  halfTable = new Float32Array(65536)
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1, exponent = h >> 10 & 31, fraction = h & 1023
    halfTable[h] = sign * (exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31
      ? (fraction ? NaN : Infinity)
      : (1 + fraction / 1024) * 2 ** (exponent - 15))
  }
  return halfTable
}

/** IEEE halves (as 16-bit words) to float32; exact. */
export function halfToFloat(words: Uint16Array): Float32Array {
  const floats = new Float32Array(words.length), values = table()
  for (let i = 0; i < words.length; i++) floats[i] = values[words[i]]
  return floats
}

/** bfloat16 words to float32; exact. */
export function bfloatToFloat(words: Uint16Array): Float32Array {
  const bits = new Uint32Array(words.length)
  for (let i = 0; i < words.length; i++) bits[i] = words[i] << 16
  return new Float32Array(bits.buffer)
}

/** float32 to IEEE half words, round to nearest even; beyond 65504 becomes infinity, which the caller must look for. */
export function floatToHalf(floats: Float32Array): Uint16Array {
  const words = new Uint16Array(floats.length)
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length)
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i], sign = x >>> 16 & 0x8000, magnitude = x & 0x7fffffff
    if (magnitude > 0x7f800000) words[i] = sign | 0x7e00
    else if (magnitude >= 0x477ff000) words[i] = sign | 0x7c00 // 65520 and up round to infinity
    else if (magnitude < 0x38800000) words[i] = sign | subnormal(Math.abs(floats[i]))
    else words[i] = sign | magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1) >> 13
  }
  return words
}

// Below 2^-14 a half counts steps of 2^-24; ties go to the even step.
function subnormal(value: number): number {
  const steps = value * 2 ** 24, down = Math.floor(steps), rest = steps - down
  return rest > 0.5 || rest === 0.5 && down % 2 === 1 ? down + 1 : down
}

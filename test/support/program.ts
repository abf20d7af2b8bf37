// One small WGSL program with its inputs and what it must compute; run on the embedded device and on dawn.

export type Numbers = Float32Array | Int32Array | Uint32Array
export interface Program {
  name: string
  source: string
  /** Initial contents by variable name; every storage and uniform variable is listed. */
  inputs: Record<string, Numbers>
  expected: Record<string, Numbers>
  /** Allowed error in units of the last place and absolutely; 0 where left out. */
  ulp?: number
  abs?: number
  groups?: [number, number?, number?]
  constants?: Record<string, number>
  /** Why dawn (on lavapipe) may give something else; the program then runs there only to see that it is accepted. */
  differs?: string
}

const view = new DataView(new ArrayBuffer(4))
/** Position of a float among all floats, so that differences count units of the last place. */
function order(x: number): number {
  view.setFloat32(0, x)
  const bits = view.getInt32(0)
  return bits < 0 ? -(bits & 0x7fffffff) : bits
}
const minNormal = 1.1754943508222875e-38

/**
 * Why `got` is not acceptable for `expected`, or null. Denormals may be flushed, the payload of NaN does not matter.
 */
export function mismatch(got: Numbers, expected: Numbers, ulp = 0, abs = 0): string | null {
  if (got.length !== expected.length) return `${got.length} values, expected ${expected.length}`
  for (let i = 0; i < got.length; i++) {
    const a = got[i], b = expected[i]
    if (Object.is(a, b) || (Number.isNaN(a) && Number.isNaN(b))) continue
    if (expected instanceof Float32Array) {
      if (a === b && b === 0) continue // the sign of zero is tested by bits where it matters
      if (Math.abs(b) < minNormal && a === 0) continue
      if (Math.abs(a - b) <= abs) continue
      if (Number.isFinite(a) && Number.isFinite(b) && Math.abs(order(a) - order(b)) <= ulp) continue
    }
    return `[${i}] is ${a}, expected ${b}`
  }
  return null
}

// Builtin functions of const-expressions on numbers, with the errors WGSL demands outside of a function's domain.
import { bitsValue } from './const-bits.ts'
import { geometryValue } from './const-geometry.ts'
import { abstractInt, bool, elementScalar, i32 } from './types.ts'
import type { Scalar, Struct, Type } from './types.ts'
import { componentwise, ConstError, makeScalar, roundF16 } from './values.ts'
import type { Value } from './values.ts'

const roundEven = (x: number) => {
  const low = Math.floor(x), rest = x - low
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1
}
const domain = (ok: boolean, name: string, x: number) => {
  if (!ok) throw new ConstError(`${name}(${x}) has no value`)
}
const math1: Record<string, (x: number) => number> = {
  acos: (x) => {
    domain(Math.abs(x) <= 1, 'acos', x)
    return Math.acos(x)
  },
  acosh: (x) => {
    domain(x >= 1, 'acosh', x)
    return Math.acosh(x)
  },
  asin: (x) => {
    domain(Math.abs(x) <= 1, 'asin', x)
    return Math.asin(x)
  },
  asinh: Math.asinh,
  atan: Math.atan,
  atanh: (x) => {
    domain(Math.abs(x) < 1, 'atanh', x)
    return Math.atanh(x)
  },
  ceil: Math.ceil,
  cos: Math.cos,
  cosh: Math.cosh,
  degrees: (x) => x * 180 / Math.PI,
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  floor: Math.floor,
  fract: (x) => x - Math.floor(x),
  inverseSqrt: (x) => {
    domain(x > 0, 'inverseSqrt', x)
    return 1 / Math.sqrt(x)
  },
  log: (x) => {
    domain(x > 0, 'log', x)
    return Math.log(x)
  },
  log2: (x) => {
    domain(x > 0, 'log2', x)
    return Math.log2(x)
  },
  quantizeToF16: roundF16,
  radians: (x) => x * Math.PI / 180,
  round: roundEven,
  saturate: (x) => Math.min(Math.max(x, 0), 1),
  sin: Math.sin,
  sinh: Math.sinh,
  sqrt: (x) => {
    domain(x >= 0, 'sqrt', x)
    return Math.sqrt(x)
  },
  tan: Math.tan,
  tanh: Math.tanh,
  trunc: Math.trunc,
}
const math2: Record<string, (x: number, y: number) => number> = {
  atan2: Math.atan2,
  pow: (x, y) => {
    domain(x >= 0, 'pow', x)
    return x ** y
  },
  step: (edge, x) => edge <= x ? 1 : 0,
}
const math3: Record<string, (x: number, y: number, z: number) => number> = {
  fma: (x, y, z) => x * y + z,
  mix: (x, y, t) => x * (1 - t) + y * t,
  smoothstep: (low, high, x) => {
    const t = Math.min(Math.max((x - low) / (high - low), 0), 1)
    return t * t * (3 - 2 * t)
  },
}
/** Evaluates a builtin on constants already converted to its parameter types; null if it is only known at run time. */
export function builtinValue(name: string, args: Value[], type: Type): Value | null {
  return bitsValue(name, args, type) ?? geometryValue(name, args, type) ?? numberValue(name, args, type)
}

function numberValue(name: string, args: Value[], type: Type): Value | null {
  const floats = (apply: (...x: number[]) => number) =>
    componentwise(
      type,
      args,
      (...parts) => makeScalar(parts[0].type as Scalar, apply(...parts.map((p) => Number(p.scalar)))),
    )
  if (name in math1) return floats(math1[name])
  if (name in math2) return floats(math2[name])
  if (name in math3) return floats(math3[name])
  switch (name) {
    case 'abs':
      return componentwise(type, args, (x) =>
        typeof x.scalar === 'bigint'
          ? makeScalar(abstractInt, x.scalar < 0n ? -x.scalar : x.scalar)
          : { type: x.type, scalar: x.type === i32 ? Math.abs(x.scalar as number) | 0 : Math.abs(x.scalar as number) })
    case 'sign':
      return componentwise(type, args, (x) => makeScalar(x.type as Scalar, Math.sign(Number(x.scalar))))
    case 'min':
      return componentwise(type, args, (x, y) => (y.scalar! < x.scalar! ? y : x))
    case 'max':
      return componentwise(type, args, (x, y) => (x.scalar! < y.scalar! ? y : x))
    case 'clamp':
      return componentwise(type, args, (x, low, high) => {
        if (low.scalar! > high.scalar!) {
          throw new ConstError(`clamp: low ${low.scalar} is greater than high ${high.scalar}`)
        }
        return x.scalar! < low.scalar! ? low : x.scalar! > high.scalar! ? high : x
      })
    case 'select':
      return componentwise(type, args, (no, yes, which) => which.scalar ? yes : no)
    case 'all':
      return { type: bool, scalar: (args[0].parts ?? args).every((p) => p.scalar) }
    case 'any':
      return { type: bool, scalar: (args[0].parts ?? args).some((p) => p.scalar) }
    case 'ldexp':
      return componentwise(
        type,
        args,
        (x, power) => makeScalar(x.type as Scalar, Number(x.scalar) * 2 ** Number(power.scalar)),
      )
    case 'frexp':
      return twoParts(type, args[0], (x) => {
        if (x === 0) return [x, 0]
        let power = Math.floor(Math.log2(Math.abs(x))) + 1
        if (Math.abs(x) >= 2 ** power) power++ // the logarithm is rounded
        if (Math.abs(x) < 2 ** (power - 1)) power--
        return [x / 2 ** power, power]
      })
    case 'modf':
      return twoParts(type, args[0], (x) => [x - Math.trunc(x), Math.trunc(x)])
  }
  return null
}

/** The struct of two members that frexp and modf give. */
function twoParts(type: Type, arg: Value, split: (x: number) => [number, number]): Value {
  const { members } = type as Struct
  return {
    type,
    parts: members.map((member, i) =>
      componentwise(
        member.type,
        [arg],
        (x) => makeScalar(elementScalar(member.type)!, split(Number(x.scalar))[i]),
      )
    ),
  }
}

// Checks that several calls share. A broken rule throws `Refusal` (a validation error); an argument of the wrong kind
// throws TypeError at the caller, as the binding layer of a browser does.
import type { Core, DeviceObject } from '../runtime/core.ts'
import { refuse } from '../runtime/errors.ts'

/** The argument as an unsigned 32-bit integer; TypeError outside that range. */
export function u32(value: number, what: string): number {
  if (value >>> 0 === value) return value
  const whole = Math.trunc(Number(value))
  if (!(whole >= 0 && whole <= 0xffffffff)) {
    throw new TypeError(`${what} must be an integer from 0 to 4294967295, got ${value}`)
  }
  return whole + 0
}

/** The argument as a non-negative integer below 2^53; TypeError outside that range. */
export function size64(value: number, what: string): number {
  const whole = Math.trunc(Number(value))
  if (!(whole >= 0 && whole <= Number.MAX_SAFE_INTEGER)) {
    throw new TypeError(`${what} must be a non-negative integer, got ${value}`)
  }
  return whole + 0
}

/** The argument as an object of this device's class; TypeError for anything else. */
export function instance<T>(value: unknown, type: { prototype: T, name: string }, what: string): T {
  if (value instanceof (type as unknown as new() => T)) return value
  throw new TypeError(`${what} is not a ${type.name.replace('Cpu', 'GPU')} of the embedded device`)
}

/** Refuses objects of another device and objects whose creation failed. */
export function usable(core: Core, object: DeviceObject): void {
  if (!object.valid) refuse(`${object} is invalid, because its creation failed`)
  if (object.core !== core) refuse(`${object} belongs to another device`)
}

/** Refuses offsets and sizes that are no multiple of `step`. */
export function multiple(value: number, step: number, what: string): void {
  if (value % step !== 0) refuse(`${what} (${value}) is not a multiple of ${step}`)
}

/** Refuses a range that leaves the object. */
export function inside(offset: number, size: number, whole: number, what: string): void {
  if (offset > whole || size > whole - offset) {
    refuse(`the range ${offset}..${offset + size} is outside of ${what}, which has ${whole} bytes`)
  }
}

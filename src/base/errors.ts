// Every error a user can meet. Each message says: the op or file, what was expected, what was found, the likely cure.

/**
 * Base of all errors thrown on purpose; `exitCode` is what the command line ends with (1 failed, 2 bad input, 3 no
 * adapter).
 */
export class EspalierError extends Error {
  readonly exitCode: 1 | 2 | 3 = 1
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** Shapes, axes or sizes that do not fit the op. */
export class ShapeError extends EspalierError {}

/** A tensor of the wrong dtype, e.g. i32 where f32 is needed. */
export class DTypeError extends EspalierError {}

/** A tensor that was freed (by `dispose`, a `scope`, or the backward walk) and then used. */
export class FreedError extends EspalierError {}

/** A kernel that does not compile, does not match its launcher, or failed validation on the device. */
export class KernelError extends EspalierError {}

/** The device refused something, ran out of memory, or no device was initialised. */
export class DeviceError extends EspalierError {}

/** The device is gone; nothing computed after that can be trusted. */
export class DeviceLostError extends DeviceError {}

/** A NaN or infinity where there must be none; says in which op and layer it first appeared. */
export class NumericError extends EspalierError {}

/** A malformed file, flag or argument: one sentence with the file or flag, expected, found, cure. Exit code 2. */
export class InputError extends EspalierError {
  override readonly exitCode = 2
}

/** The adapter that was named is not on this machine; the message lists those that are. Exit code 3. */
export class AdapterError extends EspalierError {
  override readonly exitCode = 3
}

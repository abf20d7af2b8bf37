// How exact the arithmetic has to be: for kernels that compute faster and lose digits on the way.
import { currentGpu } from '../gpu/device.ts'
import type { Precision } from '../gpu/precision.ts'
import { assume, currentCapture } from './assume.ts'
import { ShapeError } from '../base/errors.ts'

let scoped: { level: Precision, capture: number } | null = null

/** The precision asked for by `withPrecision`, else by `init`. */
export function precision(): Precision {
  // What is asked for within a capture is the same at every replay; from outside it may change.
  if (scoped && scoped.capture !== 0 && scoped.capture === currentCapture()) return scoped.level
  return assume(() => scoped?.level ?? currentGpu()?.options.precision ?? 'default')
}

/**
 * Runs `work` at a precision, whatever `init` was asked for; see `Precision`. It holds for ops called within `work` and
 * for backward passes run within it. @throws ShapeError if the work is asynchronous: it would go on outside.
 */
export function withPrecision<R>(level: Precision, work: () => R): R {
  const before = scoped
  scoped = { level, capture: currentCapture() }
  try {
    const result = work()
    if (result instanceof Promise) {
      throw new ShapeError('withPrecision: the work is asynchronous; await outside, or give init a precision')
    }
    return result
  } finally {
    scoped = before
  }
}

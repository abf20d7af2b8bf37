// checkOp: forward against a plain reference in doubles, vjp against the reference's central differences.
// checkRaces: wgsl_reflect's race detector over the kernels that were launched.
import { expect } from 'vitest'
import { detectRaces } from 'wgsl_reflect/wgsl_reflect.module.js'
import { constantText } from '../../src/gpu/constant-text.ts'
import { bindingsOf, observeLaunches } from '../../src/testing/races.ts'
import { type DType, tensor, Tensor } from '../../src/core/tensor.ts'
import { vjp } from '../../src/core/transform.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { gradientError, numericalGradient } from '../reference/gradient.ts'
import { nd, type Nd, random, relativeError } from '../reference/nd.ts'

export { observeLaunches }

/** One check: an op on tensors beside a reference on the same values. */
export interface OpCheck {
  call: (...args: Tensor[]) => Tensor
  reference: (...args: Nd[]) => Nd
  args: Nd[]
  /** Dtypes of the arguments, default f32; only f32 arguments are differentiated. */
  dtypes?: DType[]
  /** Arguments without a gradient though they are f32 (masks, running statistics). */
  constant?: number[]
  /** Whether the vjp is checked at all; default true. */
  backward?: boolean
  /** max|a-b| / max|b|; default 1e-5. Say why where it is larger. */
  tolerance?: number
  /** Entries of each gradient to compare; default 40. */
  samples?: number
}

/** A tensor with the values of an array of doubles. */
export function toTensor({ shape, data }: Nd, dtype: DType = 'f32'): Tensor {
  return tensor(Float32Array.from(data), shape, dtype)
}

/** The values of a tensor as doubles. */
export async function toNd(x: Tensor): Promise<Nd> {
  return nd(x.shape, Float64Array.from(await x.data()))
}

/** Compares forward and gradients; see `OpCheck`. */
export async function checkOp(
  { call, reference, args, dtypes = [], constant = [], backward = true, tolerance = 1e-5, samples = 40 }: OpCheck,
): Promise<void> {
  const rounded = args.map(({ shape, data }) => nd(shape, Float64Array.from(data, Math.fround)))
  const inputs = rounded.map((arg, i) => toTensor(arg, dtypes[i]))
  const expected = reference(...rounded)
  const { outputs: [out], back, free } = vjp((...xs) => call(...xs), ...inputs)
  expect([...out.shape], 'shape').toEqual(expected.shape)
  const forwardError = relativeError(await out.data(), expected.data)
  expect(forwardError, 'forward').toBeLessThanOrEqual(tolerance)
  if (backward) {
    const weights = random(77, expected.shape)
    const seed = toTensor(weights)
    const grads = back(seed)
    for (let i = 0; i < inputs.length; i++) {
      if ((dtypes[i] ?? 'f32') !== 'f32' || constant.includes(i)) continue
      const grad = grads[i]
      expect(grad, `gradient of argument ${i} exists`).not.toBeNull()
      expect([...grad!.shape], `gradient shape of argument ${i}`).toEqual(rounded[i].shape)
      const error = gradientError(await grad!.data(), numericalGradient(reference, rounded, weights, i, { samples }))
      expect(error, `gradient of argument ${i}`).toBeLessThanOrEqual(tolerance)
    }
    disposeTree([grads, seed])
  }
  free()
  disposeTree(inputs)
}

/**
 * Runs the race detector on each different kernel variant that `work` launches (use tiny shapes: it interprets).
 * `falseAlarms` names kernels whose reports are known to be wrong, with the reason.
 */
export function checkRaces(
  work: () => void,
  { falseAlarms = {} }: { falseAlarms?: Record<string, string> } = {},
): void {
  const seen = new Set<string>()
  for (const launch of observeLaunches(work)) {
    const key = launch.kernel.label + JSON.stringify(launch.overrides)
    if (seen.has(key)) continue
    seen.add(key)
    if (falseAlarms[launch.kernel.file]) continue
    const { races, errors } = detectRaces(
      constantText(launch.kernel.source, launch.overrides),
      launch.kernel.entry,
      [1, 1, 1],
      bindingsOf(launch),
    )
    expect(errors, `${launch.kernel.label}: race detector`).toEqual([])
    expect(races.map(({ message }) => message), `${launch.kernel.label}: races`).toEqual([])
  }
}

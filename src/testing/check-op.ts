// One call for an op of anybody's: forward against a reference in doubles, vjp against the reference's differences, and
// the race detector over the kernels that both launch. Needs no test runner: what is wrong is thrown.
import { tensor, type Tensor } from '../core/tensor.ts'
import { vjp } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import { KernelError, NumericError, ShapeError } from '../base/errors.ts'
import { relativeError } from '../base/relative-error.ts'
import { gradientError, numericalGradient } from './gradient.ts'
import { racesOf } from './races.ts'
import { normalValues, type Reference, type Values, values } from './values.ts'

/** An op beside a reference, and what to try it on. */
export interface OpCheck {
  /** Names the op in messages. */
  name: string
  op: (...args: Tensor[]) => Tensor
  reference: Reference
  /** Arguments: shapes, filled with normal deviates, or values. Take sizes that divide no tile, and small ones. */
  args: readonly (readonly number[] | Values)[]
  /**
   * Arguments without a gradient (indices as numbers, masks); `backward: false` leaves the gradients out altogether.
   */
  constant?: readonly number[]
  backward?: boolean
  /** Most max|a - b| / max|b| of the result and of each gradient; default 1e-5. Say why where it is larger. */
  tolerance?: number
  /** Entries of each gradient that are compared; default 40. */
  samples?: number
  /** Whether the race detector runs (default); its known false alarms are in `racesOf`. */
  races?: boolean
}

/** How far an op was off: the result, and the gradient of each argument, null where there is none to check. */
export interface OpErrors {
  forward: number
  gradients: (number | null)[]
  /** Kernels that the race detector went through. */
  kernels: string[]
}

/**
 * Checks an op on the open device. @throws ShapeError for a result of another shape than the reference's, NumericError
 * where result or gradient are further off than `tolerance`, KernelError where a kernel has a race.
 */
export async function checkOp(
  { name, op, reference, args, constant = [], backward = true, tolerance = 1e-5, samples = 40, races = true }: OpCheck,
): Promise<OpErrors> {
  const given = args.map((arg, i) =>
    'data' in arg ? values(arg.shape, arg.data.map(Math.fround)) : normalValues(i + 1, arg)
  )
  const inputs = given.map(({ shape, data }) => tensor(Float32Array.from(data), shape)), expected = reference(...given)
  const { outputs: [out], back, free } = vjp((...all) => op(...all), ...inputs)
  try {
    if (String(out.shape) !== String(expected.shape)) {
      throw new ShapeError(`${name}: gave [${out.shape}], the reference [${expected.shape}]`)
    }
    const forward = relativeError(await out.data(), expected.data)
    if (!(forward <= tolerance)) throw new NumericError(off(name, 'its result', forward, tolerance))
    const gradients: (number | null)[] = given.map(() => null)
    const weights = normalValues(77, expected.shape)
    if (backward) {
      const seed = tensor(Float32Array.from(weights.data), weights.shape), found = back(seed)
      for (const [i, gradient] of found.entries()) {
        if (constant.includes(i)) continue
        const which = `the gradient of argument ${i}`
        if (!gradient) throw new NumericError(`${name}: ${which} is missing; name it in 'constant' if it has none`)
        const numerical = numericalGradient(reference, given, weights, i, { samples })
        const error = gradients[i] = gradientError(await gradient.data(), numerical)
        if (!(error <= tolerance)) throw new NumericError(off(name, which, error, tolerance))
      }
      disposeTree([found, seed])
    }
    const kernels = races ? await raceFree(name, op, inputs, backward, weights) : []
    return { forward, gradients, kernels }
  } finally {
    free()
    disposeTree(inputs)
  }
}

const off = (name: string, what: string, error: number, tolerance: number) =>
  `${name}: ${what} is off by ${error.toExponential(1)} of the largest, expected at most ${tolerance}`

async function raceFree(
  name: string,
  op: OpCheck['op'],
  inputs: Tensor[],
  backward: boolean,
  weights: Values,
): Promise<string[]> {
  const reports = await racesOf(() => {
    const { back, free } = vjp((...all) => op(...all), ...inputs)
    if (backward) back(tensor(Float32Array.from(weights.data), weights.shape))
    free()
  })
  for (const { kernel, races, errors } of reports) {
    if (races.length) throw new KernelError(`${name}: ${kernel} has a race: ${races[0]}`)
    if (errors.length) throw new KernelError(`${name}: the race detector cannot follow ${kernel}: ${errors[0]}`)
  }
  return reports.map(({ kernel }) => kernel)
}

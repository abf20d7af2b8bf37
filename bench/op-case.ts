// An op, and whatever else computes the same, as a case: the shortest way from a kernel of one's own to the table.
import { InputError } from '../src/base/errors.ts'
import { sizeOf } from '../src/base/shape.ts'
import { tensor, type Tensor } from '../src/core/tensor.ts'
import { scope } from '../src/core/transform.ts'
import { disposeTree } from '../src/core/tree.ts'
import { deviceTime } from '../src/gpu/timing.ts'
import { normalValues, type Reference, type Values, values } from '../src/testing/values.ts'
import type { BenchCase, Subject } from './harness.ts'

/** What is computed, by what, and what it has to give. */
export interface OpCaseOptions {
  name: string
  /** Default the shapes of the arguments: `64x128 32`. */
  shape?: string
  /** Arguments: shapes, filled with normal deviates, or values. */
  args: readonly (readonly number[] | Values)[]
  /** What takes turns, by the names in the column `impl`. */
  impls: Readonly<Record<string, (...args: Tensor[]) => Tensor>>
  reference: Reference
  /** Floating-point operations that count; without them no GFLOP/s. */
  flops?: number
  /** Bytes read and written at least once; default arguments and result. */
  bytes?: number
  /** Most max|a-b| / max|b|; default 1e-5. */
  tolerance?: number
  /** Names among `impls` that the others are compared with; default the first. */
  baselines?: readonly string[]
  suite?: string
}

/** A case for `bench` on the open device. @throws InputError without anything to time. */
export function opCase(
  { name, args, impls, reference, flops = 0, bytes, tolerance, suite = 'own', ...more }: OpCaseOptions,
): BenchCase {
  const [first] = Object.keys(impls)
  if (first === undefined) throw new InputError(`bench ${name}: expected something to time in 'impls', found nothing`)
  const given = args.map((arg, i) =>
    'data' in arg ? values(arg.shape, arg.data.map(Math.fround)) : normalValues(i + 1, arg)
  )
  const expected = reference(...given)
  const tensors = given.map(({ shape, data }) => tensor(Float32Array.from(data), shape))
  const subjects = Object.entries(impls).map(([impl, op]): Subject => {
    const launch = () => {
      scope(() => {
        op(...tensors)
      })
    }
    return {
      impl,
      launch,
      async run() {
        const out = scope(() => op(...tensors)), data = await out.data()
        out.dispose()
        return data
      },
      device: () => deviceTime(launch),
    }
  })
  subjects.at(-1)!.dispose = () => {
    disposeTree(tensors)
  }
  const shape = more.shape ?? given.map(({ shape }) => shape.join('x')).join(' ')
  const moved = 4 * (sizeOf(expected.shape) + given.reduce((sum, { data }) => sum + data.length, 0))
  return {
    suite,
    name,
    shape,
    flops,
    bytes: bytes ?? moved,
    expected: expected.data,
    tolerance,
    subjects,
    baselines: more.baselines ?? (subjects.length > 1 ? [first] : []),
    clock: 'device',
  }
}

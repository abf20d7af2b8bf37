// One golden of `ops` against an op: forward, and every gradient that the file has.
import { expect } from 'vitest'
import { vjp } from '../../src/core/transform.ts'
import { type DType, tensor, type Tensor } from '../../src/core/tensor.ts'
import { toTensor } from './check-op.ts'
import { golden, type GoldenTensor, opCase } from './golden.ts'
import { cases, runCase } from '../reference/cases.ts'
import { nd, relativeError } from '../reference/nd.ts'
import { permute } from '../reference/shape.ts'
import type { ReferenceName } from '../reference/references.ts'

/** Calls an op with the arguments and attributes of a step. */
export type Calls = Partial<Record<ReferenceName, (args: Tensor[], attrs: object) => Tensor>>

/** Compares one case; `dtypes` are those of its constants. The measure is max|a - b| / max|b|. */
export async function checkCase(
  name: string,
  calls: Calls,
  dtypes: Record<string, DType> = {},
  tolerance = 1e-5,
): Promise<void> {
  const found = cases.find((one) => one.golden === name)
  if (!found) throw new Error(`no case for the golden '${name}' in test/reference/cases.ts`)
  const { inputs, out, weights, grads } = opCase(name)
  // Into this project's layout: PyTorch's attention has the head axis before the token axis.
  const load = ({ shape, data }: GoldenTensor) => {
    const values = nd(shape, data)
    return found.layout ? permute(values, { order: found.layout }) : values
  }
  const differentiable = found.inputs
  const constants = Object.fromEntries(
    Object.entries(found.constants ?? {}).map((
      [key, value],
    ) => [key, dtypes[key] === 'i32' ? tensor(Int32Array.from(value.data), value.shape) : toTensor(value)]),
  )
  const { outputs: [y], back, free } = vjp((...given) => {
    const byName = { ...constants, ...Object.fromEntries(differentiable.map((key, i) => [key, given[i]])) }
    return runCase<Tensor>(found, byName, ({ reference, attributes = {} }, args) => {
      const call = calls[reference]
      if (!call) throw new Error(`case '${name}' wants '${reference}', which this test does not call`)
      return call(args, attributes)
    })
  }, ...differentiable.map((key) => toTensor(load(inputs[key]))))
  const expected = load(out)
  expect([...y.shape], 'shape').toEqual(expected.shape)
  expect(relativeError(await y.data(), expected.data), 'forward').toBeLessThanOrEqual(tolerance)
  const cotangents = back(toTensor(load(weights)))
  for (const [i, key] of differentiable.entries()) {
    if (!golden('ops').has(`${name}.grad.${key}`)) continue
    expect(relativeError(await cotangents[i]!.data(), load(grads[key]).data), `gradient of ${key}`).toBeLessThanOrEqual(
      tolerance,
    )
  }
  free()
}

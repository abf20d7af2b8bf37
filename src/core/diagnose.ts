// Where did the first NaN come from?
import { record } from './tape.ts'
import type { Tensor } from './tensor.ts'
import { scope } from './transform.ts'
import { leaves, namesOf } from './tree.ts'

/**
 * Runs `work` once more, looks at every result in order, and says which op of which layer first gave a NaN or an
 * infinity; null if all is finite. A layer is named by the path of the weight that was read last. Slow: it reads
 * everything back.
 */
export async function firstNonFinite(model: unknown, work: () => unknown): Promise<string | null> {
  const paths = namesOf(model)
  for (const [path, leaf] of leaves(model)) {
    const bad = await firstBad(leaf)
    if (bad) return `the model's own '${path}' holds ${bad}`
  }
  const { calls } = scope(() => {
    const tape = record(work, [], true)
    return { calls: tape.calls, keep: tape.calls.map(({ out }) => out) }
  })
  let layer = ''
  let found: string | null = null
  for (const { op, args, out } of calls) {
    for (const arg of args) if (arg && paths.has(arg)) layer = paths.get(arg)!
    const inputs = args.filter((arg) => arg !== null && !calls.some((call) => call.out === arg) && !paths.has(arg))
    for (const input of inputs) {
      const bad = await firstBad(input!)
      if (bad) found ??= `the input [${input!.shape}] of '${op.name}' holds ${bad}`
    }
    const result: string | null = found ? null : await firstBad(out)
    if (result) {
      found = `the first bad value is ${result}, from '${op.name}' with result [${out.shape}]${
        layer ? `, in or after the layer of '${layer}'` : ''
      }`
    }
    if (found) break
  }
  for (const { out, saved } of calls) for (const made of [out, ...Object.values(saved)]) made.dispose()
  return found
}

async function firstBad(x: Tensor): Promise<string | null> {
  if (x.dtype !== 'f32') return null
  const data = await x.data()
  const at = data.findIndex((value) => !Number.isFinite(value))
  return at < 0 ? null : `${data[at]} at element ${at}`
}

// Runs in a page: every op check (the golden cases, and shapes of every family against the references, forward and
// backward) through the public engine on one adapter.
import { close, init } from '../../src/index.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { type Check, goldenChecks, shapeChecks, type Values } from '../support/op-checks.ts'

/** What the page found: who computed, how many checks passed, the worst error of those, and what failed. */
export interface OpFindings {
  isolated: boolean
  adapter: string
  kind: string
  checks: number
  passed: number
  worst: number
  seconds: number
  failures: string[]
}

/** `adapter` is `cpu` (the embedded device) or `dawn` (the browser's own WebGPU). */
export async function run(adapter: string): Promise<OpFindings> {
  const begin = performance.now()
  const { adapter: { name, kind } } = await init({ adapter, fixedVariants: true })
  const { tensors } = parseSafetensors(new Uint8Array(await (await fetch('/ops.safetensors')).arrayBuffer()))
  const value = (key: string): Values => {
    const { shape, data } = tensors.get(key)!
    return { shape: [...shape], data: data as Float32Array }
  }
  const group = (prefix: string) =>
    Object.fromEntries(
      [...tensors.keys()].filter((key) => key.startsWith(prefix)).map((key) => [key.slice(prefix.length), value(key)]),
    )
  const goldens = goldenChecks((golden) => ({
    inputs: group(`${golden}.in.`),
    out: value(`${golden}.out`),
    weights: value(`${golden}.w`),
    grads: group(`${golden}.grad.`),
  }))
  const checks: Check[] = [...shapeChecks(), ...goldens], failures: string[] = []
  let worst = 0
  for (const { name: check, tolerance, run: measure } of checks) {
    try {
      const error = await measure()
      if (error <= tolerance) worst = Math.max(worst, error)
      else failures.push(`${check}: error ${error.toExponential(1)}, at most ${tolerance} is allowed`)
    } catch (error) {
      failures.push(`${check}: ${String(error)}`)
    }
  }
  await close()
  return {
    isolated: crossOriginIsolated,
    adapter: name,
    kind,
    checks: checks.length,
    passed: checks.length - failures.length,
    worst,
    seconds: (performance.now() - begin) / 1000,
    failures,
  }
}

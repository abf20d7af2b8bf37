// Every op check on one adapter, in a page or in Node: what passed, how far off it was, what failed.
import { close, init, type InitOptions } from '../../src/index.ts'
import { parseSafetensors } from '../../src/files/safetensors.ts'
import { type Check, goldenChecks, shapeChecks, type Values } from './op-checks.ts'

/** Who computed, how many checks passed, the worst error of those, and what failed. */
export interface OpRun {
  adapter: string
  kind: string
  checks: number
  passed: number
  worst: number
  seconds: number
  failures: string[]
}

/**
 * Runs the golden cases, whose file's bytes are given, and shapes of every family against the references, forward and
 * backward, through the public engine.
 */
export async function runOpChecks(options: InitOptions, golden: Uint8Array, only = Infinity): Promise<OpRun> {
  const begin = performance.now()
  const { adapter: { name, kind } } = await init({ fixedVariants: true, ...options })
  const { tensors } = parseSafetensors(golden)
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
  const checks: Check[] = [...shapeChecks(), ...goldens].slice(0, only), failures: string[] = []
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
    adapter: name,
    kind,
    checks: checks.length,
    passed: checks.length - failures.length,
    worst,
    seconds: (performance.now() - begin) / 1000,
    failures,
  }
}

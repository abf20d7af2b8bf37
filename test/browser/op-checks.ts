// Runs in a page: every op check (the golden cases, and shapes of every family against the references, forward and
// backward) through the public engine on one adapter.
import { type OpRun, runOpChecks } from '../support/op-run.ts'

/** What the page found. */
export interface OpFindings extends OpRun {
  isolated: boolean
}

/** `adapter` is `cpu` (the embedded device) or `dawn` (the browser's own WebGPU). */
export async function run(adapter: string): Promise<OpFindings> {
  const golden = new Uint8Array(await (await fetch('/ops.safetensors')).arrayBuffer())
  return { isolated: crossOriginIsolated, ...await runOpChecks({ adapter, fixedVariants: true }, golden) }
}

// wgsl_reflect's race detector over the kernels that some work launches. It interprets, so shapes have to be tiny; it
// is loaded when it is first asked.
import { constantText } from '../gpu/constant-text.ts'
import { gpu } from '../gpu/device.ts'
import type { ObservedLaunch } from '../gpu/launches.ts'
import { scope } from '../core/transform.ts'

/** What the detector says of one kernel: nothing, or races, or why it could not say. */
export interface RaceReport {
  kernel: string
  races: string[]
  errors: string[]
}

/** Every launch of `work`, with its values; the launches run as usual. */
export function observeLaunches(work: () => void): ObservedLaunch[] {
  const seen: ObservedLaunch[] = []
  const { launches } = gpu()
  launches.observer = (launch) => seen.push(launch)
  try {
    scope(() => {
      work()
    })
  } finally {
    launches.observer = null
  }
  return seen
}

/**
 * Runs the race detector on each different kernel and variant that `work` launches, one workgroup of it. Known false
 * alarms: a barrier as the first statement of a loop, `workgroupUniformLoad`, and subgroup operations.
 */
export async function racesOf(work: () => void): Promise<RaceReport[]> {
  const { detectRaces } = await import('wgsl_reflect/wgsl_reflect.module.js')
  const seen = new Set<string>(), reports: RaceReport[] = []
  for (const launch of observeLaunches(work)) {
    const key = launch.kernel.label + JSON.stringify(launch.overrides)
    if (seen.has(key)) continue
    seen.add(key)
    const text = constantText(launch.kernel.source, launch.overrides)
    const { races, errors } = detectRaces(text, launch.kernel.entry, [1, 1, 1], bindingsOf(launch))
    reports.push({
      kernel: launch.kernel.label,
      races: races.map(({ message }) => message),
      errors: errors.map(String),
    })
  }
  return reports
}

/** Buffers and parameters of a launch, as the detector takes them. */
export function bindingsOf({ kernel, buffers, values }: ObservedLaunch) {
  const { storage, uniform } = kernel.reflection
  const group: Record<string, ArrayBuffer | { uniform: ArrayBuffer }> = {}
  for (const { name, binding } of storage) group[binding] = new ArrayBuffer(Math.min(buffers[name].bytes, 1 << 20))
  if (uniform) {
    const bytes = new DataView(new ArrayBuffer(uniform.size))
    for (const { name, offset, type } of uniform.fields) {
      if (type === 'f32') bytes.setFloat32(offset, values[name], true)
      else bytes.setUint32(offset, values[name], true)
    }
    group[uniform.binding] = { uniform: bytes.buffer }
  }
  return { 0: group }
}

// Which variant of a kernel is fastest here? Timed on the device after the first use of a shape class; nobody waits for
// it.
import { currentGpu, type Gpu } from './device.ts'
import { deviceTime } from './timing.ts'

/** Something with a name that the tuner can choose. */
export interface Named {
  readonly name: string
}

/** Work to be timed: `run` launches it once by a variant, `dispose` frees what it needed. */
export interface Trial<V> {
  run(variant: V): void
  dispose(): void
}

const choices = new WeakMap<Gpu, Map<string, Named>>()
let queue: Promise<void> = Promise.resolve()

/**
 * The variant to use now for work of a class such as `matmul NT 256x768x256`: the first candidate, until another was
 * found faster.
 *
 * Ops are synchronous, so the tuner cannot wait: the first use of a class queues a timing that runs between the
 * caller's own awaits, on scratch tensors that `prepare` makes, class after class; launches from then on use what it
 * found. Candidates must give the same bits, so that a result does not depend on when that was. A captured list keeps
 * the variants it was captured with: run the work once and `await tuned()` before `compile`. Choices are kept by device
 * and class for as long as the device is open. Nothing is timed under `fixedVariants` (tests, ESPALIER_TUNE=0), with a
 * single candidate, or on the null backend. A candidate that fails ends the timing; the default stays.
 */
export function quickest<V extends Named>(gpu: Gpu, key: string, candidates: readonly V[], prepare: () => Trial<V>): V {
  if (gpu.fixedVariants || candidates.length === 1 || gpu.adapter.kind === 'null') return candidates[0]
  let known = choices.get(gpu)
  if (!known) choices.set(gpu, known = new Map())
  const found = known.get(key)
  if (found) return found as V
  known.set(key, candidates[0])
  queue = queue.then(async () => {
    // The error is the candidate's own, and comes out wherever that is launched; after close() nothing is left to tune.
    const best = await fastest(gpu, candidates, prepare).catch(() => candidates[0])
    known.set(key, best)
  })
  return candidates[0]
}

/** Resolves when no timing is under way: later launches use what was found fastest. */
export async function tuned(): Promise<void> {
  for (let last: Promise<void> | null = null; last !== queue;) {
    last = queue
    await last
  }
}

/** What was chosen so far on a device: names of variants by class. */
export function tuning(gpu: Gpu): Record<string, string> {
  return Object.fromEntries([...choices.get(gpu) ?? []].map(([key, { name }]) => [key, name]))
}

async function fastest<V>(gpu: Gpu, candidates: readonly V[], prepare: () => Trial<V>): Promise<V> {
  const rounds = 5, timed = 2 // in ms: timestamps of browsers tick in steps of 0.07 ms
  const open = () => {
    if (currentGpu() !== gpu) throw new Error('the device was closed')
  }
  open()
  const trial = prepare()
  try {
    const times = candidates.map(() => Infinity), repeats = candidates.map(() => 1)
    for (let round = 0; round <= rounds; round++) {
      for (const [i, variant] of candidates.entries()) {
        open()
        const ms = await deviceTime(() => {
          for (let n = 0; n < repeats[i]; n++) trial.run(variant)
        }) / repeats[i]
        // The first round compiles, warms up and says how often to repeat. Then the least counts: noise only ever adds.
        if (round === 0) repeats[i] = Math.max(1, Math.min(100, Math.ceil(timed / Math.max(ms, 0.001))))
        else times[i] = Math.min(times[i], ms)
      }
    }
    const best = times.indexOf(Math.min(...times))
    return times[best] < 0.95 * times[0] ? candidates[best] : candidates[0] // a tie stays with the default
  } finally {
    trial.dispose()
  }
}

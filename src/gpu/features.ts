// Which optional features of an adapter a device is opened with: those that something loaded can use. Who can use one
// says so when it is loaded, so that there is no list to keep in step.
// Timestamps are for timing.ts and profiler.ts, halves for kernels of the caller's own (`kernelFromText`).
const wanted = new Set<string>(['timestamp-query', 'shader-f16'])

/** Asks for these features wherever an adapter has them, on every device that is opened from now on. */
export function wantFeatures(names: readonly string[]): void {
  for (const name of names) wanted.add(name)
}

/** The features wanted so far. */
export function wantedFeatures(): readonly string[] {
  return [...wanted]
}

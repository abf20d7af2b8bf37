// What a capture takes for granted: values on the host that its calls read, and whose change a replay would not see.

/** A value as the capture found it, and how it is read again. */
export interface Assumption {
  read: () => unknown
  found: unknown
}

let noted: Assumption[] | null = null
let captures = 0
let current = 0

/** Reads a value on the host; in a capture it is read again before each replay, and another one means a new capture. */
export function assume<T>(read: () => T): T {
  const found = read()
  noted?.push({ read, found })
  return found
}

/** A number for the capture that is made now, 0 for none: what is set within a capture is the same at every replay. */
export const currentCapture = (): number => current

/** Runs `work` as a capture, and returns what it took for granted beside its result. */
export function noting<R>(work: () => R): { result: R, assumptions: readonly Assumption[] } {
  const assumptions = noted = [] as Assumption[]
  current = ++captures
  try {
    return { result: work(), assumptions }
  } finally {
    noted = null
    current = 0
  }
}

/** Whether all is as it was found. */
export const stillHolds = (assumptions: readonly Assumption[]): boolean =>
  assumptions.every(({ read, found }) => read() === found)

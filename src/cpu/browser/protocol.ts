// What a page and the worker that holds its device say to each other. Objects live in the worker; the page has their
// numbers.

/** In an argument, stands for an object by its number. */
export interface Handle {
  $handle: number
}

/** One call of a method; several travel in one message, in order. */
export interface Call {
  /** Number of the object; 0 is the GPU. */
  target: number
  method: string
  args: unknown[]
  /** The page's number for the object that the call returns (or that its promise is fulfilled with). */
  result?: number
  /** Set if the page waits for the outcome. */
  reply?: number
}

/** From the page. `drop` lists objects that nobody on the page holds any more. */
export interface Request {
  calls: Call[]
  drop: number[]
}

/** An error, in a form that survives the way to another thread. */
export interface PlainError {
  name: string
  message: string
  reason?: string
}

/** From the worker: the outcome of a call, or an event of a device. */
export type Answer =
  | { reply: number, value: unknown }
  | { reply: number, failure: PlainError }
  | { device: number, uncaptured: PlainError }
  | { device: number, lost: { reason: string, message: string } }

/** What a page learns of an adapter. */
export interface AdapterFacts {
  features: string[]
  limits: Record<string, number>
  info: Record<string, unknown>
}

/** What a page learns of a device. */
export interface DeviceFacts {
  features: string[]
  limits: Record<string, number>
}

/**
 * What the numbers of a recorded pass mean; each is followed by its arguments, objects by number, no bind group as 0.
 */
export const passCall = {
  /** pipeline */
  setPipeline: 1,
  /** index, group, count of offsets, offsets */
  setBindGroup: 2,
  /** x, y, z */
  dispatch: 3,
  /** buffer, offset */
  indirect: 4,
} as const

/** An error as plain data. */
export function plainError(error: unknown): PlainError {
  const { name, message, reason } = error as { name?: string, message?: string, reason?: string }
  const kind = error instanceof Error ? name : (error as object)?.constructor?.name
  return { name: kind ?? 'Error', message: message ?? String(error), ...(reason !== undefined && { reason }) }
}

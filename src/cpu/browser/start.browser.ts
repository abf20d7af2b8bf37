// Stands in for start.ts in the build for browsers. Bundlers disagree on how a library's worker is found (some follow
// `new URL('./worker.js', import.meta.url)`, some leave it to break), so its script is carried along as text, in place
// of the name below, and started from a Blob.
import type * as beside from './start.ts'

declare const WORKER_SCRIPT: string

/** The worker that is given, that of an address, or one from the script in this bundle. */
export const startWorker: typeof beside.startWorker = (worker) => {
  if (worker instanceof Worker) return worker
  if (worker !== undefined) return new Worker(worker)
  const url = URL.createObjectURL(new Blob([WORKER_SCRIPT], { type: 'text/javascript' }))
  const started = new Worker(url)
  URL.revokeObjectURL(url) // fetching has begun: the address is no longer needed
  return started
}

// Starts the worker of a page's device. The build of the package for browsers takes start.browser.ts in this file's
// place.

/** The worker that is given, that of an address, or `worker.js` beside this file. */
export function startWorker(worker: string | URL | Worker = new URL('./worker.js', import.meta.url)): Worker {
  return worker instanceof Worker ? worker : new Worker(worker, { type: 'module' })
}

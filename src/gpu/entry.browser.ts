// Stands in for entry.ts in the build for browsers: no dawn, and the embedded device always in a worker of its own.
import { createBrowserGpu } from '../cpu/browser/page.ts'
import type * as inNode from './entry.ts'

/** A page has to ask. */
export const mayHaveGpu: typeof inNode.mayHaveGpu = () => Promise.resolve(true)

/** The browser's `GPU`, null where there is none. */
export const platformGpu: typeof inNode.platformGpu = () =>
  Promise.resolve(typeof navigator === 'undefined' ? null : navigator.gpu ?? null)

/** The embedded device's `GPU`. */
export const embeddedGpu: typeof inNode.embeddedGpu = ({ threads, mode, worker }) =>
  Promise.resolve(createBrowserGpu({ threads, mode, worker }))

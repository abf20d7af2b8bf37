// Stands in for node.ts in the build for browsers: nothing of Node is there, nor named.
import type * as inNode from './node.ts'

export type { Thread } from './node.ts'
/** There is no `process`. */
export const node: typeof inNode.node = undefined
/** There is no such module. */
export const os: typeof inNode.os = () => undefined
/** There is no such module. */
export const v8: typeof inNode.v8 = () => undefined
/** There is no system to ask. */
export const systemText: typeof inNode.systemText = () => undefined
/** Browsers start their threads themselves. */
export const startNodeThread: typeof inNode.startNodeThread = () => undefined

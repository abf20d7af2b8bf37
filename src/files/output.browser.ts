// Stands in for output.ts in the build for browsers, which have no files to write.
import { InputError } from '../base/errors.ts'
import type * as inNode from './output.ts'

/** @throws InputError always: a page hands bytes on instead. */
export const writeOutput: typeof inNode.writeOutput = (path) => {
  throw new InputError(`${path}: a page cannot write files; take the bytes of encodeCheckpoint instead`)
}

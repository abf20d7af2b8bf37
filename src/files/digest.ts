// SHA-256 of what files hold, without holding it. Node only.
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, statSync } from 'node:fs'

const CHUNK = 2 ** 20

/** Above so many bytes in all, only some of the files are read as a whole. */
const WHOLE = 2 * 2 ** 30, SAMPLE = 2048

/**
 * A digest of names, sizes and content of files, in their order. Of more than 2 GiB in all the content of 2,048 files,
 * evenly spread, stands for that of the others; a single file is always read. A file that is not there counts as such.
 */
export function digestOfFiles(paths: readonly string[]): string {
  const hash = createHash('sha256')
  const sizes = paths.map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? -1)
  const total = sizes.reduce((sum, size) => sum + Math.max(0, size), 0)
  const step = total > WHOLE ? Math.max(1, Math.ceil(paths.length / SAMPLE)) : 1
  const chunk = Buffer.alloc(CHUNK)
  paths.forEach((path, i) => {
    hash.update(`${JSON.stringify(path.split(/[/\\]/).at(-1))} ${sizes[i]}\n`)
    if (sizes[i] < 0 || i % step) return
    const descriptor = openSync(path, 'r')
    try {
      for (let read; (read = readSync(descriptor, chunk)) > 0;) hash.update(chunk.subarray(0, read))
    } finally {
      closeSync(descriptor)
    }
  })
  return hash.digest('hex')
}

/** A digest of names and of values as floats of 32 bits, in their order. */
export function digestOfScores(scores: ReadonlyMap<string, ArrayLike<number>>): string {
  const hash = createHash('sha256')
  for (const [name, values] of scores) hash.update(name).update(new Uint8Array(Float32Array.from(values).buffer))
  return hash.digest('hex')
}

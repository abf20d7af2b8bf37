// Whatever a file's content may come as, in Node and in pages: a path or address, fetched bytes, a picked or dropped
// file.
import { InputError } from '../base/errors.ts'
import type { Files } from './files.ts'

/** A path (in a page: an address), bytes, or a Blob or File. */
export type ByteSource = string | URL | ArrayBuffer | Uint8Array | Blob

/** Whether it is one of these. */
export function isByteSource(source: unknown): source is ByteSource {
  return typeof source === 'string' || source instanceof URL || source instanceof Uint8Array
    || source instanceof Blob || Object.prototype.toString.call(source) === '[object ArrayBuffer]'
}

/**
 * The bytes and what messages call them: a path, a File's name, else `name`. `check` is handed to `Files.read` with the
 * path. @throws InputError as `Files.read`.
 */
export async function bytesOf(
  source: ByteSource,
  files: Files,
  name: string,
  check?: (start: Uint8Array, size: number, path: string) => void,
): Promise<{ bytes: Uint8Array, name: string }> {
  if (source instanceof URL) return bytesOf(pathOf(source), files, name, check)
  if (typeof source === 'string') {
    return { bytes: await files.read(source, check && ((start, size) => check(start, size, source))), name: source }
  }
  if (source instanceof Uint8Array) return { bytes: source, name }
  if (source instanceof Blob) {
    const called = (source as Partial<File>).name || name
    try {
      return { bytes: new Uint8Array(await source.arrayBuffer()), name: called }
    } catch (error) {
      throw new InputError(`${called}: the file cannot be read (${(error as Error).message}); pick it again`, {
        cause: error,
      })
    }
  }
  if (isByteSource(source)) return { bytes: new Uint8Array(source), name }
  throw new InputError(`${name}: expected a path, an address, bytes, a Blob or a File; got ${typeof source}`)
}

/** In Node a `file:` address is a path; elsewhere addresses are fetched. */
function pathOf(url: URL): string {
  if (url.protocol !== 'file:') return url.href
  const path = decodeURIComponent(url.pathname)
  return /^\/[A-Za-z]:/.test(path) ? path.slice(1) : path
}

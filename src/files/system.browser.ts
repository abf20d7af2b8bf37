// Stands in for system.ts in the build for browsers: paths are addresses, read by `fetch`.
import { InputError } from '../base/errors.ts'
import type { Files } from './files.ts'

/** Files by address, relative to the page. A server does not list folders. */
export const nodeFiles: Files = {
  async read(path) {
    let response: Response
    try {
      response = await fetch(path)
    } catch (error) {
      throw new InputError(`${path}: cannot be fetched (${(error as Error).message}); check the address, and CORS`, {
        cause: error,
      })
    }
    if (!response.ok) throw new InputError(`${path}: expected a file, got HTTP ${response.status}; check the address`)
    return new Uint8Array(await response.arrayBuffer())
  },
  list(folder) {
    return Promise.reject(new InputError(`${folder}: a page cannot list folders; name the files`))
  },
  async exists(path) {
    return fetch(path, { method: 'HEAD' }).then(({ ok }) => ok, () => false)
  },
}

// Files that ship with the package, found the same way from dist/, from a test and from unbuilt TypeScript. Node only.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { EspalierError } from '../base/errors.ts'

function packageRoot(): URL {
  for (let folder = new URL('./', import.meta.url);; folder = new URL('../', folder)) {
    if (existsSync(new URL('package.json', folder))) return folder
    if (folder.pathname === '/' || folder.href === new URL('../', folder).href) {
      throw new EspalierError('espalier: its package.json is missing; install it again')
    }
  }
}

/** The path of a file of this package, e.g. `models/data/digits/labels-idx1-ubyte.gz`. */
export function packageFile(path: string): string {
  return fileURLToPath(new URL(path, packageRoot()))
}

/** The version in package.json. */
export function packageVersion(): string {
  return String(JSON.parse(readFileSync(packageFile('package.json'), 'utf8')).version)
}

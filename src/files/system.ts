// The file system of Node behind `Files`. node: modules are imported when called, so bundles load without them; the
// build of the package for browsers takes system.browser.ts in this file's place.
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import type { Files, StartCheck } from './files.ts'

const MAX_FILE = 4 * 2 ** 30
// Below this reading all of a file takes no time that anyone would notice.
const LARGE_FILE = 32 * 2 ** 20, START = 2 ** 20

/** The file system of Node. */
export const nodeFiles: Files = {
  async read(path, check) {
    const fs = await import('node:fs/promises')
    try {
      const info = await fs.stat(path)
      if (info.isDirectory()) throw new InputError(`${path}: expected a file, it is a folder; name a file inside it`)
      // a pipe or device may never end; only regular files are read
      if (!info.isFile()) {
        throw new InputError(`${path}: expected a regular file, it is a device or a pipe; copy it to a file first`)
      }
      if (info.size > MAX_FILE) {
        throw new InputError(`${path}: ${info.size} bytes, expected at most ${MAX_FILE}; split the file`)
      }
      if (check && info.size > LARGE_FILE) await checkStart(path, info.size, check)
      return await fs.readFile(path)
    } catch (error) {
      throw await explain(error, path, 'file')
    }
  },
  async list(folder) {
    try {
      return await walk(folder)
    } catch (error) {
      throw await explain(error, folder, 'folder')
    }
  },
  async exists(path) {
    const fs = await import('node:fs/promises')
    return fs.access(path).then(() => true, () => false)
  },
}

async function checkStart(path: string, size: number, check: StartCheck): Promise<void> {
  const fs = await import('node:fs/promises'), file = await fs.open(path)
  try {
    const start = new Uint8Array(START), { bytesRead } = await file.read(start, 0, START, 0)
    check(start.subarray(0, bytesRead), size)
  } finally {
    await file.close()
  }
}

// Links are followed, as curated data sets link their classes and pictures; a link to a folder that the way there came
// through is a loop and ends.
async function walk(folder: string): Promise<string[]> {
  const fs = await import('node:fs/promises')
  const found: string[] = []
  const visit = async (at: string, above: ReadonlySet<string>): Promise<void> => {
    const here = new Set([...above, await fs.realpath(at ? `${folder}/${at}` : folder)]), before = found.length
    for (const entry of await fs.readdir(at ? `${folder}/${at}` : folder, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue
      const path = at ? `${at}/${entry.name}` : entry.name
      if (entry.isDirectory()) await visit(path, here)
      else if (!entry.isSymbolicLink()) { if (entry.isFile()) found.push(path) }
      else {
        const target = await fs.stat(`${folder}/${path}`).catch(() => null) // a broken link is reported when it is read
        if (!target?.isDirectory()) found.push(path)
        else if (!here.has(await fs.realpath(`${folder}/${path}`))) await visit(path, here)
      }
    }
    if (at && found.length === before) found.push(`${at}/`)
  }
  await visit('', new Set())
  return found
}

async function explain(error: unknown, path: string, kind: string): Promise<Error> {
  if (error instanceof InputError) return error
  const fs = await import('node:fs/promises')
  const { code, message } = error as { code?: string, message: string }
  const target = code === 'ENOENT' ? await fs.readlink(path).catch(() => null) : null
  const reason = target !== null
    ? `it is a link to ${quoted(target)}, and there is no such ${kind}; mend the link or remove it`
    : code === 'ENOENT'
    ? `there is no such ${kind}; check the path`
    : code === 'EACCES'
    ? `this ${kind} may not be read; check its permissions`
    : code === 'ENOTDIR'
    ? 'part of the path is a file, expected a folder; check the path'
    : `the ${kind} cannot be read (${code ?? message}); check the path`
  return new InputError(`${path || '(no name)'}: ${reason}`, { cause: error })
}

// Bytes by name as files of a folder, made when the first is written: where training keeps what it goes on from.
// Node only.
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { guard } from './guard.ts'
import { makeFolder, writeOutput } from './output.ts'

/** Files of one folder by name. A name may hold any characters. */
export interface FolderStore {
  /** The folder. */
  readonly where: string
  read(name: string): Promise<Uint8Array | null>
  /** Replaces the file as a whole: a process that dies meanwhile leaves the old one. */
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Removes what this store has written or read, and the folder if nothing else is in it. */
  clear(): void
}

/** A store in a folder, which need not be there yet. */
export function folderStore(folder: string): FolderStore {
  const used = new Set<string>()
  const fileOf = (name: string) => join(folder, `${encodeURIComponent(name).replaceAll('.', '%2E')}.state`)
  return {
    where: folder,
    read(name) {
      const file = fileOf(name)
      if (!existsSync(file)) return Promise.resolve(null)
      used.add(file)
      return Promise.resolve(new Uint8Array(guard(file, () => readFileSync(file))))
    },
    write(name, bytes) {
      const file = fileOf(name)
      makeFolder(folder)
      writeOutput(file, bytes)
      used.add(file)
      return Promise.resolve()
    },
    clear() {
      for (const file of used) rmSync(file, { force: true })
      if (used.size && existsSync(folder) && !readdirSync(folder).length) rmdirSync(folder)
    },
  }
}

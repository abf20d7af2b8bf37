// File access, the one part of the data layer that differs between Node and browsers. Everything else takes bytes, or
// this interface, so that a page can hand in fetched or picked files.
export { nodeFiles } from './system.ts'

/** Looks at the first bytes of a file and at its size. @throws InputError where the rest need not be read. */
export type StartCheck = (start: Uint8Array, size: number) => void

/** Where bytes come from: Node's file system here, `fetch` or dropped files in a browser. Both throw InputError. */
export interface Files {
  /**
   * Whole content of a file. `check` is given the start of a large one and its size, where that comes cheaper, and
   * throws for what is not worth reading.
   */
  read(path: string, check?: StartCheck): Promise<Uint8Array>
  /**
   * Paths of all files below a folder, relative to it, `/` between parts, in no certain order. Hidden entries (a dot in
   * front, macOS's `._x.png` among them) are left out; a folder without files stands as its path with `/` at the end.
   */
  list(folder: string): Promise<string[]>
  /** Whether a file is there. */
  exists(path: string): Promise<boolean>
}

// The text of a kernel, put together from files: a line `// #include ../shared/row-sum.wgsl` stands for that file,
// looked for from the folder of the file that says so and taken once however often it is named. A compiler sees one
// text; which file and line each of its lines came from is kept for messages.
import { KernelError } from '../base/errors.ts'

/** Where a line of a text stands in a file, counted from one. */
export interface Origin {
  file: string
  line: number
}

/** A text, and for each of its lines where that came from. */
export interface SourceText {
  text: string
  origins: readonly Origin[]
}

interface Line {
  text: string
  origin: Origin
}

const directive = /^\s*\/\/\s*#include\s+(\S+)\s*$/

/**
 * The text of `file` with what it includes, and then with `splice`: each marker of the text replaced by its value,
 * which may include files too; lines of a value count as the line of the marker. `read` gives the text of a file, or
 * undefined if there is none.
 * @throws KernelError if a file is not there or includes itself, or if there is no such marker.
 */
export function assemble(
  file: string,
  read: (file: string) => string | undefined,
  splice: Readonly<Record<string, string>> = {},
): SourceText {
  const taken = new Set<string>()
  /** Lines with those of the files they include; `inside` are the files on the way to here. */
  const expand = (lines: readonly Line[], inside: readonly string[]): Line[] =>
    lines.flatMap((line) => {
      const named = directive.exec(line.text)?.[1]
      if (named === undefined) return [line]
      const wanted = beside(line.origin.file, named), at = `${line.origin.file}, line ${line.origin.line}`
      if (inside.includes(wanted)) throw new KernelError(`${at}: ${wanted} includes itself`)
      if (taken.has(wanted)) return []
      const text = read(wanted)
      if (text === undefined) throw new KernelError(`${at}: no such kernel file to include, ${wanted}`)
      taken.add(wanted)
      return expand(numbered(wanted, text), [...inside, wanted])
    })
  const text = read(file)
  if (text === undefined) {
    throw new KernelError(`${file}: no such kernel file; run 'npm run embed' after adding one to kernels/`)
  }
  let lines = expand(numbered(file, text), [file])
  for (const [marker, value] of Object.entries(splice)) {
    if (!lines.some((line) => line.text.includes(marker))) {
      throw new KernelError(`${file}: no marker ${marker} to splice into`)
    }
    lines = lines.flatMap((line) => {
      if (!line.text.includes(marker)) return [line]
      const parts = line.text.replaceAll(marker, () => value).split('\n')
      return expand(parts.map((part) => ({ text: part, origin: line.origin })), [line.origin.file])
    })
  }
  return { text: lines.map((line) => line.text).join('\n'), origins: lines.map(({ origin }) => origin) }
}

const numbered = (file: string, text: string): Line[] =>
  text.split('\n').map((line, i) => ({ text: line, origin: { file, line: i + 1 } }))

/** A path as seen from the folder of `file`. */
function beside(file: string, path: string): string {
  const parts = file.split('/').slice(0, -1)
  for (const part of path.split('/')) {
    if (part === '..' && parts.length && parts.at(-1) !== '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

// Before work begins: no output may be an input, or another output, by whatever name or link; and nothing that exists
// is replaced unasked. Node only.
import { existsSync, lstatSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'

/** A file that a command reads or is going to write; `flag` is what messages call it (`--report`). */
export interface NamedFile {
  flag: string
  path: string
  /** Why this name, where the user did not write it: `the numbers of --report report.html`. */
  derived?: string
}

/**
 * Checks outputs against inputs, against each other and against the disk. Of a folder among the inputs, what is
 * below it already. `overwrite` allows files that are there, never an input; null where the command has no such flag.
 * @throws InputError naming both.
 */
export function claimOutputs(
  outputs: readonly NamedFile[],
  inputs: readonly NamedFile[],
  overwrite: boolean | null,
): void {
  const taken: (NamedFile & { real: string })[] = []
  let sources: (NamedFile & Identity)[] | null = null
  for (const output of outputs) {
    if (output.path === '') {
      throw new InputError(`${output.flag} '': expected the name of a file to write, found ''; give one`)
    }
    const { real, id } = identity(output.path)
    // Lists name many files, and what is not there yet is none of them.
    if (id !== '') sources ??= inputs.map((input) => ({ ...input, ...identity(input.path) }))
    const input = id === ''
      ? undefined
      : sources!.find((each) => each.real === real || (each.id === id && id !== DEVICE) || isBelow(real, each))
    const name = `${output.flag} ${plain(output.path)}${output.derived ? ` (${output.derived})` : ''}`
    if (input) {
      throw new InputError(
        `${name}: would write over what is read, ${input.flag} ${plain(input.path)}; give another name`,
      )
    }
    const twin = taken.find((each) => each.real === real)
    if (twin) throw new InputError(`${name}: is ${twin.flag} ${plain(twin.path)} as well; give two names`)
    taken.push({ ...output, real })
    if (!overwrite && isReplaced(output.path)) {
      throw new InputError(`${name}: there already; give another name${overwrite === null ? '' : ', or --overwrite'}`)
    }
  }
}

/** A pipe or a device (`/dev/stdout`) is written to, not replaced; a link to nothing is. */
function isReplaced(path: string): boolean {
  if (existsSync(path)) return statSync(path).isFile()
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    return false // opening it says why
  }
}

const DEVICE = '-'

interface Identity {
  real: string
  /** Device and number, equal for hard links; '' for what is not there. */
  id: string
  folder: boolean
}

/** The real path, also of what does not exist yet below folders that do. */
function identity(path: string): Identity {
  const full = resolve(path)
  if (existsSync(full)) {
    const info = statSync(full)
    return {
      real: realpathSync(full),
      id: info.isFile() || info.isDirectory() ? `${info.dev}:${info.ino}` : DEVICE,
      folder: info.isDirectory(),
    }
  }
  const above = dirname(full)
  return { real: above === full ? full : join(identity(above).real, basename(full)), id: '', folder: false }
}

const isBelow = (real: string, { real: source, folder }: Identity) => folder && real.startsWith(`${source}/`)

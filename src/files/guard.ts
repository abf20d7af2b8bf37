// What the file system refuses, said in one sentence.
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'

const reasons: Record<string, [found: string, cure: string]> = {
  ENOENT: ['there is no such folder', 'make the folder first'],
  EEXIST: ['a file of that name is there', 'choose another name'],
  ENOTDIR: ['a part of the path is a file', 'check the path'],
  EISDIR: ['there is a folder of that name', 'add a file name'],
  EACCES: ['permission denied', 'choose a folder of your own'],
  EPERM: ['permission denied', 'choose a folder of your own'],
  EROFS: ['the file system is read-only', 'choose another folder'],
  ENAMETOOLONG: ['the name is too long', 'choose a shorter one'],
  ELOOP: ['symbolic links lead in a circle', 'check the path'],
  EMFILE: ['this process may open no more files', 'raise `ulimit -n`'],
  ENFILE: ['the system may open no more files', 'close some programs'],
  ENOSPC: ['the disk is full', 'free some space'],
  EDQUOT: ['your quota of the disk is used up', 'free some space'],
  EFBIG: ['the file grows beyond what is allowed', 'raise `ulimit -f`'],
  EIO: ['the disk reports an error', 'look at the disk'],
}

/** Failures of the run rather than of the name that was given. */
const running = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO', 'EMFILE', 'ENFILE'])

/**
 * Runs a file operation. @throws InputError while `opening` a name that cannot be written, EspalierError where writing
 * fails later or the system is at its limits.
 */
export function guard<T>(path: string, action: () => T, opening = false): T {
  try {
    return action()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (!code) throw error
    const [found, cure] = reasons[code] ?? [(error as Error).message, 'look at the disk']
    const message = `${plain(path) || "''"}: cannot write here, ${found}; ${cure}`
    throw opening && !running.has(code)
      ? new InputError(message, { cause: error })
      : new EspalierError(message, { cause: error })
  }
}
